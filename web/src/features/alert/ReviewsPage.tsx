import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState } from "react";
import { alertApi } from "../../lib/api";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Icon } from "../../ui/Icon";
import { Empty } from "../../ui/Note";
import { Page, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { ReasonDialog } from "../../ui/ReasonDialog";
import { Span, Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { longestPeriod, periodsOf, type Period } from "./periods";
import { reviewsAsk, reviewsKey } from "./queries";

const Policy = lazy(() => import("./Policy").then((module) => ({ default: module.Policy })));

const columns: readonly Column<Period>[] = [
  { id: "at", header: "When", width: "minmax(10rem, max-content)", value: (one) => dateOf(one.review.at)?.toISOString(), cell: (one) => <Time at={one.review.at} seconds={false} /> },
  { id: "by", header: "By", width: "minmax(6rem, max-content)", value: (one) => one.review.by, cell: (one) => <Raw text={one.review.by} /> },
  {
    id: "period",
    header: "Looks back on",
    width: "minmax(11rem, max-content)",
    value: (one) => one.from?.toISOString(),
    cell: (one) => {
      const at = dateOf(one.review.at);
      if (one.from === undefined || at === undefined) return <span className="dim">all before it</span>;
      return (
        <span className="row" style={{ gap: 6 }}>
          <Span from={one.from} to={at} />
          {one.late ? <Tag warn title="The check alert.reviewed fails for the time past 36 hours">over 36 hours</Tag> : null}
        </span>
      );
    },
  },
  { id: "open", header: "Not closed then", width: "minmax(7.4rem, max-content)", end: true, value: (one) => one.review.open },
  { id: "overdue", header: "Overdue then", width: "minmax(6.6rem, max-content)", end: true, value: (one) => one.review.overdue },
  { id: "note", header: "What was looked at", width: "minmax(14rem, 2fr)", value: (one) => one.review.note, cell: (one) => <Raw text={one.review.note} sentence /> },
  {
    id: "leaf",
    header: "Leaf",
    width: "minmax(5rem, max-content)",
    end: true,
    value: (one) => one.review.position,
    cell: (one) => (
      <Link to="/ledger" search={{ position: one.review.position.toString() }} className="num">
        {one.review.position.toLocaleString("en")}
      </Link>
    ),
  },
];

/** ReviewsPage says who went through alerts and logs when, and how soon alerts must be seen to. */
export function ReviewsPage() {
  const admin = useIsAdmin();
  const [recording, setRecording] = useState(false);
  const list = useList({ key: reviewsKey, ask: reviewsAsk });
  // Rows keep their order: each looks back to the one below it.
  const periods = useMemo(() => ({ ...list, rows: periodsOf(list.rows), readAll: async () => periodsOf((await list.readAll())) }), [list]);
  const newest = dateOf(list.rows[0]?.at);
  return (
    <Page
      name="Reviews"
      title="Reviews"
      lead="Who went through alerts and logs, and when. PCI DSS 10.4.1 wants it each day; the check alert.reviewed reads these records, each a leaf of the ledger."
      actions={
        admin ? (
          <Button leftSection={<Icon name="plus" size={13} />} onClick={() => setRecording(true)}>
            Record a review
          </Button>
        ) : undefined
      }
    >
      {newest === undefined ? null : (
        <p>
          Last reviewed <Time at={newest} ago />; the next is due by <Time at={new Date(newest.getTime() + longestPeriod)} seconds={false} />.
        </p>
      )}
      <DataTable
        name="reviews"
        label="Reviews"
        main
        columns={columns}
        list={periods}
        rowKey={(one) => one.review.position.toString()}
        empty={
          <Empty title="No review is on record">
            <p>{admin ? "Go through the alerts and the logs, then record here what you looked at and what came of it." : "An administrator of Assay records reviews."}</p>
          </Empty>
        }
      />
      <Suspense fallback={null}>
        <Policy />
      </Suspense>
      {recording ? (
        <ReasonDialog
          title="Record a review"
          button="Record"
          label="What was looked at, and what came of it"
          changed={[reviewsKey]}
          send={(note) => alertApi.recordReview({ note })}
          onDone={() => setRecording(false)}
        >
          <p>It says that you went through the alerts and logs since the review before. How many alerts stand open and overdue now is kept with it.</p>
        </ReasonDialog>
      ) : null}
    </Page>
  );
}
