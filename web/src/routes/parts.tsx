import { Link, useRouter, type ErrorComponentProps } from "@tanstack/react-router";
import { Failure, Loading } from "../ui/Note";
import { Page } from "../ui/Page";

/** NotFound is what an address shows that leads nowhere. */
export function NotFound() {
  return (
    <main style={{ padding: 24 }}>
      <Page name="Not found" title="There is no such page" lead="The address may be mistyped, or it may come from another version of the console.">
        <p>
          Go to the <Link to="/overview">overview</Link>, or press <kbd>Ctrl K</kbd> to look for a host, a control or a page.
        </p>
      </Page>
    </main>
  );
}

/** RouteFailure is what a page shows that could not be loaded at all. */
export function RouteFailure({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const again = (): void => {
    reset();
    void router.invalidate();
  };
  return (
    <main style={{ padding: 24 }}>
      <Page name="Failed" title="This page could not be shown">
        <Failure error={error} again={again} />
      </Page>
    </main>
  );
}

/** RoutePending stands in while a page's code arrives. */
export function RoutePending() {
  return (
    <div style={{ padding: 24 }}>
      <Loading />
    </div>
  );
}
