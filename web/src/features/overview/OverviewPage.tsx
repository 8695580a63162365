import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { GetOverviewResponse } from "../../gen/assay/console/v1/status_pb";
import { useAsOf } from "../../lib/moment";
import { vectorOf } from "../../lib/state";
import { Evaluation } from "../../ui/Evaluation";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Page, Section } from "../../ui/Page";
import { StateBar, StateCounts, StateLegend } from "../../ui/State";
import { AlertLevels } from "../alert/AlertLevels";
import { CheckTable } from "./CheckTable";
import { FindingAges } from "./FindingAges";
import css from "./overview.module.css";
import { overviewQuery } from "./queries";
import { Tiles } from "./Tiles";
import { Transitions } from "./Transitions";

/** OverviewPage answers: where do we stand, what is open, what changed. */
export function OverviewPage() {
  const moment = useAsOf();
  const query = useQuery(overviewQuery(moment));
  return (
    <Page name="Overview" title="Overview" lead={query.data === undefined ? undefined : <Evaluation of={query.data.evaluated} />}>
      {query.data !== undefined ? (
        <Overview of={query.data} />
      ) : query.isError ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : (
        <Loading lines={14} what="overview" />
      )}
    </Page>
  );
}

function Overview({ of }: { readonly of: GetOverviewResponse }) {
  return (
    <>
      {of.hosts === 0 ? (
        <Empty title="No host has been seen yet">
          <p>
            Verdicts appear here once the first agent has sent telemetry. Create an enrolment token under <Link to="/agents">Agents</Link>: it shows the command to run on a host.
          </p>
        </Empty>
      ) : null}
      <Tiles of={of} />
      <Section title="Requirements by state" aside={<StateLegend />} flush>
        {of.frameworks.length === 0 ? (
          <div style={{ padding: 14 }}>
            <Empty title="No framework is loaded">Framework packs are read when the server starts; its log says which.</Empty>
          </div>
        ) : (
          <ul className={css.frameworks}>
            {of.frameworks.map((framework) => {
              const vector = vectorOf(framework.requirements);
              return (
                <li key={framework.id}>
                  <div>
                    <Link to="/controls/$framework" params={{ framework: framework.id }}>
                      <strong>{framework.title}</strong>
                    </Link>
                    <div className={css.small}>
                      {framework.id} {framework.version}
                    </div>
                  </div>
                  <div className={css.bars}>
                    <StateBar vector={vector} />
                    <StateCounts
                      vector={vector}
                      of="requirements"
                      words
                      link={(state, className, children) => (
                        <Link to="/controls/$framework" params={{ framework: framework.id }} search={{ state }} className={className}>
                          {children}
                        </Link>
                      )}
                    />
                  </div>
                </li>
              );
            })}
          </ul>
        )}
      </Section>
      <div className={css.columns}>
        <CheckTable checks={of.checks} />
        <div className="stack">
          <AlertLevels />
          <FindingAges ages={of.findingAges} open={of.openFindings} />
          <Transitions of={of.transitions} />
        </div>
      </div>
    </>
  );
}
