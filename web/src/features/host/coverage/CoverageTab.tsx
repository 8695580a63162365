import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import type { CoverageLane, Host } from "../../../gen/assay/console/v1/host_pb";
import { durationWords } from "../../../lib/duration";
import { useMoment } from "../../../lib/moment";
import { dateFromSearch, dateOf } from "../../../lib/time";
import { EventLink } from "../../../ui/Evidence";
import { Icon } from "../../../ui/Icon";
import { Empty, Failure, Loading } from "../../../ui/Note";
import { Raw } from "../../../ui/Raw";
import { Time } from "../../../ui/Time";
import { coverageQuery } from "../queries";
import css from "./coverage.module.css";
import { CoverageTable } from "./CoverageTable";
import { pan, rangeWords, stretches, zoom, type RangeKind, type Stretch, type Window } from "./ranges";
import { laneName, Timeline, type Chosen } from "./Timeline";

const route = getRouteApi("/app/hosts/$id");
const day = 86_400_000;
const spans = [
  ["24 hours", day],
  ["7 days", 7 * day],
  ["30 days", 30 * day],
  ["90 days", 90 * day],
] as const;

/** CoverageTab shows when each source of a host was alive and able to see. */
export function CoverageTab({ host }: { readonly host: Host }) {
  const { from, to, view } = route.useSearch();
  const navigate = useNavigate();
  const moment = useMoment();
  // The present is taken once, so that the question stays the same while one looks.
  const [now] = useState(() => Math.ceil(Date.now() / 60_000) * 60_000);
  const end = moment.kind === "instant" ? moment.at.getTime() : now;
  const window = useMemo((): Window => {
    const till = dateFromSearch(to)?.getTime() ?? end;
    const since = dateFromSearch(from)?.getTime() ?? till - 7 * day;
    return since < till ? { from: since, to: till } : { from: till - 7 * day, to: till };
  }, [from, to, end]);
  const query = useQuery(coverageQuery(host.id, new Date(window.from), new Date(window.to)));
  const [chosen, setChosen] = useState<Chosen>();
  const lanes = query.data?.lanes ?? [];

  const show = useCallback(
    (next: Window) => {
      setChosen(undefined);
      void navigate({ to: ".", search: (old) => ({ ...old, from: new Date(next.from).toISOString(), to: new Date(next.to).toISOString() }), replace: true, resetScroll: false });
    },
    [navigate],
  );
  if (query.isError) return <Failure error={query.error} again={() => void query.refetch()} />;
  if (query.data === undefined) return <Loading what="coverage" />;
  if (lanes.length === 0) {
    return (
      <Empty title="No coverage is known for this host">
        {host.kind === "imported" ? "Exported logs say what was seen, not when the source was alive: no coverage is kept for them." : "Lanes appear once the agent reports its sources’ health. Look at a wider window, or check that the agent runs."}
      </Empty>
    );
  }
  const picked = chosen === undefined ? undefined : lanes[chosen.lane];
  const part = picked === undefined || chosen === undefined ? undefined : stretches(picked, window)[chosen.index];
  return (
    <section aria-label="Coverage" className="stack" style={{ gap: 10 }}>
      <div className={css.bar}>
        <div className="row no-print">
          {spans.map(([name, span]) => (
            <Button key={name} variant={window.to - window.from === span && window.to === end ? "filled" : "default"} onClick={() => show({ from: end - span, to: end })}>
              {name}
            </Button>
          ))}
          <Tool name="Earlier" icon="left" onClick={() => show(pan(window, -0.5))} />
          <Tool name="Later" icon="right" onClick={() => show(pan(window, 0.5))} />
          <Tool name="Zoom in" icon="plus" onClick={() => show(zoom(window, 0.5))} />
          <Tool name="Zoom out" icon="minus" onClick={() => show(zoom(window, 2))} />
          <Button variant="default" onClick={() => void navigate({ to: ".", search: (old) => ({ ...old, view: view === "table" ? undefined : ("table" as const) }), resetScroll: false })}>
            {view === "table" ? "As timeline" : "As table"}
          </Button>
        </div>
        <Legend />
      </div>
      <p className="dim">
        <Time at={new Date(window.from)} seconds={false} /> – <Time at={new Date(window.to)} seconds={false} />, {durationWords(window.to - window.from)}
        {query.data.watermark === undefined ? null : (
          <>
            ; telemetry has been read up to <Time at={dateOf(query.data.watermark)} />
          </>
        )}
        {query.isFetching ? " – reading" : ""}
      </p>
      {view === "table" ? (
        <CoverageTable lanes={lanes} window={window} name={`coverage-${host.id}`} />
      ) : (
        <>
          <Timeline lanes={lanes} window={window} chosen={chosen} onChoose={setChosen} onWindow={show} />
          <Readout lane={picked} part={part} />
        </>
      )}
    </section>
  );
}

function Tool({ name, icon, onClick }: { readonly name: string; readonly icon: "left" | "right" | "plus" | "minus"; readonly onClick: () => void }) {
  return (
    <Button variant="default" px={8} onClick={onClick} aria-label={name} title={name}>
      <Icon name={icon} size={14} />
    </Button>
  );
}

const kinds: readonly RangeKind[] = ["live", "recovered", "explained", "unexplained", "pending"];

function Legend() {
  return (
    <ul className={css.legend}>
      {kinds.map((kind) => (
        <li key={kind}>
          <span className={`${css.stretch} ${css[kind]} ${css.swatch}`} aria-hidden="true" />
          {rangeWords[kind]}
        </li>
      ))}
      <li>
        <span className={`${css.stretch} ${css.blank} ${css.swatch}`} aria-hidden="true" />
        Nothing expected or known
      </li>
    </ul>
  );
}

function Readout({ lane, part }: { readonly lane: CoverageLane | undefined; readonly part: Stretch | undefined }) {
  return (
    <div className={css.readout} aria-live="polite">
      {lane === undefined || part === undefined ? (
        <p className={css.keys}>
          Choose a stretch for its reason and evidence. In a lane: <kbd>←</kbd> <kbd>→</kbd> step, <kbd>↑</kbd> <kbd>↓</kbd> change the lane, <kbd>+</kbd> <kbd>−</kbd> zoom, <kbd>Shift</kbd> with an arrow moves the window. Dragging moves it too.
        </p>
      ) : (
        <>
          <strong>{rangeWords[part.kind]}</strong>, {durationWords(part.to - part.from)} in <Raw text={laneName(lane)} />
          <div>
            <Time at={new Date(part.from)} /> – <Time at={new Date(part.to)} />
          </div>
          <div>
            {part.reason === "" ? <span className="dim">No reason is recorded. </span> : <Raw text={part.reason} sentence />}
          </div>
          {part.evidence === undefined ? null : (
            <div>
              Evidence: <EventLink of={part.evidence} />
            </div>
          )}
        </>
      )}
    </div>
  );
}
