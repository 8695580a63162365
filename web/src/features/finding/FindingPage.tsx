import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { Finding as FindingMessage } from "../../gen/assay/console/v1/finding_pb";
import { durationWords } from "../../lib/duration";
import { dateOf } from "../../lib/time";
import { visibleText } from "../../lib/visible";
import { EvidenceLinks } from "../../ui/Evidence";
import { Failure, Loading } from "../../ui/Note";
import { Facts, Page, Section } from "../../ui/Page";
import { Named } from "../../ui/Named";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { gradeWords } from "../control/words";
import { useIsAdmin } from "../session/useSession";
import { CloseFinding } from "./CloseFinding";
import { FindingStatus } from "./FindingStatus";
import { findingQuery } from "./queries";

const route = getRouteApi("/app/findings/$id");

/** FindingPage is one violation: what happened, what shows it, how it ended. */
export function FindingPage() {
  const { id } = route.useParams();
  const query = useQuery(findingQuery(id));
  const finding = query.data?.finding;
  const admin = useIsAdmin();
  const [closing, { open, close }] = useDisclosure(false);
  return (
    <Page
      name={finding === undefined ? "Finding" : visibleText(finding.title)}
      title={
        finding === undefined ? (
          "Finding"
        ) : (
          <>
            <Raw text={finding.title} sentence /> <FindingStatus status={finding.status} />
          </>
        )
      }
      crumbs={<Link to="/findings">Findings</Link>}
      actions={finding !== undefined && finding.status !== "closed" && admin ? <Button onClick={open}>Close with cause</Button> : undefined}
    >
      {finding !== undefined ? <Finding of={finding} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading what="finding" />}
      {closing ? <CloseFinding id={id} onDone={close} /> : null}
    </Page>
  );
}

function Finding({ of }: { readonly of: FindingMessage }) {
  const opened = dateOf(of.openedAt);
  const closed = dateOf(of.closedAt);
  const span = opened === undefined ? 0 : (closed ?? new Date()).getTime() - opened.getTime();
  return (
    <>
      <Section title="What happened">
        <Facts
          of={[
            [
              "Host",
              <Link key="host" to="/hosts/$id" params={{ id: of.hostId }}>
                <Raw text={of.hostName} />
              </Link>,
            ],
            [
              "Check",
              <Link key="check" to="/hosts/$id" params={{ id: of.hostId }} search={{ check: of.check }} className="mono">
                {of.check}
              </Link>,
            ],
            ["Opened", <Time key="opened" at={of.openedAt} />],
            [closed === undefined ? "Open for" : "Was open for", durationWords(span)],
            ...(closed === undefined
              ? []
              : ([
                  ["Closed", <Time key="closed" at={of.closedAt} />],
                  ["Closed by", of.closedBy === "" ? "what resolves it was seen" : <Raw key="by" text={of.closedBy} />],
                  ["Cause", of.cause === "" ? "–" : <Raw key="cause" text={of.cause} />],
                ] as const)),
            ["Grade", gradeWords(of.grade)],
            ["Bears on", of.requirements.length === 0 ? "no requirement" : <Requirements key="requirements" of={of.requirements} />],
            ["Evidence", <EvidenceLinks key="evidence" of={of.evidence} total={of.evidence.length} />],
            [
              "Ledger leaf",
              <Link key="leaf" to="/ledger" search={{ position: of.position.toString() }} className="num">
                {of.position.toLocaleString("en")}
              </Link>,
            ],
          ]}
        />
      </Section>
      <Section title="Facts of the violating event" aside="as its source names them">
        <Named of={of.fields} label="Facts of the violating event" />
      </Section>
    </>
  );
}

function Requirements({ of }: { readonly of: readonly string[] }) {
  return (
    <>
      {of.map((name, i) => {
        const [framework, ...rest] = name.split(/[/ ]/);
        const id = rest.join(" ");
        return (
          <span key={name}>
            {i === 0 ? "" : ", "}
            {framework === undefined || id === "" ? (
              name
            ) : (
              <Link to="/controls/$framework/$id" params={{ framework, id }}>
                {framework} {id}
              </Link>
            )}
          </span>
        );
      })}
    </>
  );
}
