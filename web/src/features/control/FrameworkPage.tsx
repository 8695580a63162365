import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { GetFrameworkStatusResponse, Requirement, RequirementStatus } from "../../gen/assay/console/v1/status_pb";
import { listOf } from "../../lib/list";
import { useAsOf } from "../../lib/moment";
import { emptyVector, stateName, stateOrder, stateWords, vectorOf, vectorWords, type StateName, type Vector } from "../../lib/state";
import { DataTable, type Column } from "../../ui/DataTable";
import { Evaluation } from "../../ui/Evaluation";
import { Choice, StateFilter, TextFilter } from "../../ui/Filter";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Page, Tag } from "../../ui/Page";
import { StateBar, StateCounts, StateMark } from "../../ui/State";
import { FrameworkTabs } from "./FrameworkTabs";
import { frameworkStatusQuery } from "./queries";
import { ceilingWords, gradeWords } from "./words";

const route = getRouteApi("/app/controls/$framework");

interface Row {
  readonly framework: string;
  readonly requirement: Requirement;
  readonly status: RequirementStatus | undefined;
  readonly state: StateName;
  readonly vector: Vector;
}

const columns: readonly Column<Row>[] = [
  {
    id: "id",
    header: "Requirement",
    width: "minmax(7.5rem, max-content)",
    value: (row) => row.requirement.id,
    cell: (row) => (
      <Link to="/controls/$framework/$id" params={{ framework: row.framework, id: row.requirement.id }}>
        {row.requirement.id}
      </Link>
    ),
  },
  {
    id: "title",
    header: "What it asks",
    width: "minmax(15rem, 2fr)",
    value: (row) => row.requirement.title,
    cell: (row) => (
      <>
        {row.requirement.title} {row.requirement.obligation === "addressable" ? <Tag title="The framework lets the reasons be documented instead">addressable</Tag> : null}
      </>
    ),
  },
  { id: "state", header: "State", width: "minmax(8rem, max-content)", value: (row) => stateWords[row.state], cell: (row) => <StateMark state={row.state} /> },
  {
    id: "hosts",
    header: "Hosts by state",
    width: "minmax(15rem, 1.4fr)",
    value: (row) => vectorWords(row.vector),
    cell: (row) =>
      row.requirement.checks.length === 0 ? (
        <span className="dim">no check speaks for it</span>
      ) : (
        <div style={{ display: "grid", gap: 4 }}>
          <StateBar vector={row.vector} thin />
          <StateCounts
            vector={row.vector}
            of="hosts"
            link={(state, className, children) => (
              <Link to="/controls/$framework/$id" params={{ framework: row.framework, id: row.requirement.id }} search={{ state }} className={className}>
                {children}
              </Link>
            )}
          />
        </div>
      ),
  },
  {
    id: "ceiling",
    header: "Ceiling",
    width: "minmax(6rem, max-content)",
    value: (row) => ceilingWords(row.requirement.ceiling)[0],
    cell: (row) => <span title={ceilingWords(row.requirement.ceiling)[1]}>{ceilingWords(row.requirement.ceiling)[0]}</span>,
  },
  {
    id: "grade",
    header: "Grade",
    width: "minmax(4rem, max-content)",
    value: (row) => row.status?.grade,
    cell: (row) => <span title={gradeWords(row.status?.grade ?? "")}>{row.status?.grade === undefined || row.status.grade === "" ? "–" : row.status.grade}</span>,
  },
  { id: "checks", header: "Checks", width: "minmax(10rem, 1fr)", off: true, value: (row) => row.requirement.checks.join(", ") },
];

/** FrameworkPage is the control matrix of one framework over the fleet. */
export function FrameworkPage() {
  const { framework } = route.useParams();
  const moment = useAsOf();
  const query = useQuery(frameworkStatusQuery(framework, moment));
  const title = query.data?.framework?.title ?? framework;
  return (
    <Page
      name={title}
      title={
        <>
          {title} <Tag>{query.data?.framework?.version ?? "…"}</Tag>
        </>
      }
      crumbs="Controls"
      lead={<Evaluation of={query.data?.evaluated} />}
    >
      <FrameworkTabs />
      {query.data !== undefined ? <Matrix of={query.data} /> : query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={14} what="requirements" />}
    </Page>
  );
}

function Matrix({ of }: { readonly of: GetFrameworkStatusResponse }) {
  const { state, chapter, q } = route.useSearch();
  const navigate = useNavigate();
  const framework = of.framework;
  const rows = useMemo((): Row[] => {
    const statuses = new Map(of.requirements.map((status) => [status.id, status]));
    return (framework?.requirements ?? []).map((requirement) => {
      const status = statuses.get(requirement.id);
      return {
        framework: framework?.id ?? "",
        requirement,
        status,
        state: status === undefined ? "unknown" : stateName(status.state),
        vector: status === undefined ? emptyVector : vectorOf(status.hosts),
      };
    });
  }, [of, framework]);
  const list = useMemo(() => {
    const words = (q ?? "").toLowerCase().split(/\s+/).filter((part) => part !== "");
    return listOf(
      rows.filter((row) => {
        const text = `${row.requirement.id} ${row.requirement.title} ${row.requirement.checks.join(" ")}`.toLowerCase();
        return (state === undefined || row.state === state) && (chapter === undefined || row.requirement.chapter === chapter) && words.every((part) => text.includes(part));
      }),
    );
  }, [rows, state, chapter, q]);
  const chapters = [...new Set(rows.map((row) => row.requirement.chapter))].filter((name) => name !== "");
  const set = (next: { state?: StateName | undefined; chapter?: string | undefined; q?: string | undefined }): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }), replace: "q" in next });
  };
  const counts = Object.fromEntries(stateOrder.map((name) => [name, rows.filter((row) => row.state === name).length])) as Record<StateName, number>;
  return (
    <>
      <StateCounts
        vector={counts}
        of="requirements"
        words
        link={(name, className, children) => (
          <Link to="." search={(old) => ({ ...old, state: name === state ? undefined : name })} className={className} aria-current={name === state ? "true" : undefined}>
            {children}
          </Link>
        )}
      />
      <DataTable
        name={`controls-${framework?.id ?? ""}`}
        label="Requirements"
        main
        columns={columns}
        list={list}
        rowKey={(row) => row.requirement.id}
        group={(row) => row.requirement.chapter}
        count={`${list.rows.length} of ${rows.length} requirements`}
        filters={
          <>
            <TextFilter label="Find" value={q} onChange={(value) => set({ q: value })} />
            <StateFilter value={state} onChange={(value) => set({ state: value })} />
            <Choice label="Chapter" any="All" value={chapter} choices={chapters.map((name) => [name, name])} onChange={(value) => set({ chapter: value })} />
          </>
        }
        empty={
          <Empty title="No requirement fits this filter">
            <Link to="." search={(old) => ({ at: old.at })}>
              Show all {rows.length} requirements
            </Link>
          </Empty>
        }
      />
    </>
  );
}
