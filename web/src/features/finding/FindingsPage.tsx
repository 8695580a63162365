import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { findingAges, type FindingAge } from "../../routes/searches";
import { Choice } from "../../ui/Filter";
import { Page } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { frameworksQuery } from "../control/queries";
import { ageWords } from "./age";
import { FindingTable } from "./FindingTable";

const route = getRouteApi("/app/findings");

/** FindingsPage lists violations, the open ones unless asked otherwise. */
export function FindingsPage() {
  const { status = "open", host, check, age } = route.useSearch();
  const navigate = useNavigate();
  const checks = useQuery(frameworksQuery).data?.checks ?? [];
  const set = (next: { status?: "open" | "closed" | "all"; check?: string | undefined; age?: FindingAge | undefined }): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }) });
  };
  return (
    <Page name="Findings" title="Findings" lead="A finding stays open until what resolves it is seen, or somebody closes it with a cause. Silence never closes one.">
      {host === undefined ? null : (
        <p>
          On one host only: <Raw text={host} />.{" "}
          <Link to="." search={(old) => ({ ...old, host: undefined })}>
            Show every host
          </Link>
        </p>
      )}
      <FindingTable
        name="findings"
        filter={{ host, check, status: status === "all" ? undefined : status }}
        age={age}
        filtered={check !== undefined || age !== undefined || host !== undefined}
        filters={
          <>
            <Choice
              label="Status"
              any="Open and closed"
              value={status === "all" ? undefined : status}
              choices={[
                ["open", "Open"],
                ["closed", "Closed"],
              ]}
              onChange={(value) => set({ status: value === "open" || value === "closed" ? value : "all" })}
            />
            <Choice label="Check" any="All" value={check} choices={checks.map((one) => [one.id, one.id])} onChange={(value) => set({ check: value })} />
            <Choice label="Age" any="Any" value={age} choices={findingAges.map((one) => [one, ageWords[one]])} onChange={(value) => set({ age: findingAges.find((one) => one === value) })} />
          </>
        }
      />
    </Page>
  );
}
