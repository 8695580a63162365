import { useQuery } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Page } from "../../ui/Page";
import { frameworksQuery } from "./queries";

/** FirstFramework leads from /controls to the first framework's page. */
export function FirstFramework() {
  const query = useQuery(frameworksQuery);
  const first = query.data?.frameworks[0];
  if (first !== undefined) return <Navigate to="/controls/$framework" params={{ framework: first.id }} replace />;
  return (
    <Page name="Controls" title="Controls">
      {query.isError ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : query.data === undefined ? (
        <Loading what="frameworks" />
      ) : (
        <Empty title="No framework is loaded">Framework packs are read when the server starts; its log says which.</Empty>
      )}
    </Page>
  );
}
