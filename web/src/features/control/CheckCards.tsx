import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { CheckSummary } from "../../gen/assay/console/v1/status_pb";
import { vectorOf } from "../../lib/state";
import { Facts, Section, Tag } from "../../ui/Page";
import { StateBar, StateCounts } from "../../ui/State";
import css from "./control.module.css";
import { frameworksQuery } from "./queries";

/** CheckCards says of each check what fails it, what it needs and what would turn it. */
export function CheckCards({ ids, summaries }: { readonly ids: readonly string[]; readonly summaries: readonly CheckSummary[] }) {
  const checks = useQuery(frameworksQuery).data?.checks ?? [];
  return (
    <>
        {ids.map((id) => {
          const check = checks.find((one) => one.id === id);
          const vector = vectorOf(summaries.find((one) => one.id === id)?.hosts);
          return (
            <Section
              key={id}
              title={
                <>
                  {check?.title ?? id} <span className="mono dim">{id}</span>
                </>
              }
              aside={check === undefined ? undefined : <Tag>{check.kind}</Tag>}
            >
              <div className={css.card}>
                <StateBar vector={vector} thin />
                <StateCounts
                  vector={vector}
                  of="hosts"
                  words
                  link={(state, className, children) => (
                    <Link to="." search={(old) => ({ at: old.at, check: id, state })} resetScroll={false} className={className}>
                      {children}
                    </Link>
                  )}
                />
                {check === undefined ? null : (
                  <Facts
                    of={[
                      ["Asks", check.description],
                      ["Fails on", check.violation],
                      ["Needs to see", check.requires.length === 0 ? "nothing further" : check.requires.join(", ")],
                      ["Least grade", check.minimumGrade === "" ? "any" : check.minimumGrade],
                      ["What would turn it", check.remedy],
                    ]}
                  />
                )}
              </div>
            </Section>
          );
        })}
    </>
  );
}
