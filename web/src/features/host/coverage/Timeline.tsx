import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import type { CoverageLane } from "../../../gen/assay/console/v1/host_pb";
import { utcText } from "../../../lib/time";
import { visibleText } from "../../../lib/visible";
import { Raw } from "../../../ui/Raw";
import { gradeWords, percent } from "../../control/words";
import css from "./coverage.module.css";
import { pan, stretches, stretchWords, ticks, zoom, type Stretch, type Window } from "./ranges";

/** Chosen is the stretch that the readout speaks of. */
export interface Chosen {
  readonly lane: number;
  readonly index: number;
}

interface TimelineProps {
  readonly lanes: readonly CoverageLane[];
  readonly window: Window;
  readonly chosen: Chosen | undefined;
  readonly onChoose: (chosen: Chosen) => void;
  readonly onWindow: (window: Window) => void;
}

/** laneName names a lane for people. */
export function laneName(lane: CoverageLane): string {
  return [lane.source, lane.channel].filter((part) => part !== "").join(", ");
}

/**
 * Timeline draws a lane per source and channel. A lane is a slider over its
 * stretches: left and right step through them, up and down change the lane,
 * plus and minus zoom, with shift the arrows pan. Dragging pans, Ctrl and the
 * wheel zoom.
 */
export function Timeline({ lanes, window: shown, chosen, onChoose, onWindow }: TimelineProps) {
  const box = useRef<HTMLDivElement>(null);
  const [dragged, setDragged] = useState<Window>();
  const view = dragged ?? shown;

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const onWheel = (event: WheelEvent): void => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const track = element.querySelector("[role=slider]")?.getBoundingClientRect();
      const around = track === undefined ? 0.5 : Math.min(1, Math.max(0, (event.clientX - track.left) / track.width));
      onWindow(zoom(shown, event.deltaY > 0 ? 1.25 : 0.8, around));
    };
    // Zooming must keep the browser from zooming the page, which passive listeners cannot.
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [shown, onWindow]);

  const focusLane = (lane: number): void => {
    box.current?.querySelectorAll<HTMLElement>("[role=slider]")[lane]?.focus();
  };
  return (
    <div className={css.box} ref={box} role="group" aria-label="Coverage by source and channel">
      {lanes.map((lane, i) => (
        <Lane
          key={`${lane.source} ${lane.channel} ${lane.capability}`}
          lane={lane}
          view={view}
          index={chosen?.lane === i ? chosen.index : undefined}
          onIndex={(index) => onChoose({ lane: i, index })}
          onLane={(by) => focusLane(Math.min(lanes.length - 1, Math.max(0, i + by)))}
          onWindow={onWindow}
          onDrag={setDragged}
        />
      ))}
      <Axis view={view} />
    </div>
  );
}

interface LaneProps {
  readonly lane: CoverageLane;
  readonly view: Window;
  readonly index: number | undefined;
  readonly onIndex: (index: number) => void;
  readonly onLane: (by: number) => void;
  readonly onWindow: (window: Window) => void;
  readonly onDrag: (window: Window | undefined) => void;
}

function Lane({ lane, view, index, onIndex, onLane, onWindow, onDrag }: LaneProps) {
  const parts = stretches(lane, view);
  const current = index === undefined ? undefined : parts[index];
  const drag = useRef<{ x: number; from: Window; moved: Window | undefined }>(undefined);

  const onKeyDown = (event: KeyboardEvent): void => {
    const action = keyAction(event.key, event.shiftKey);
    if (action === undefined) return;
    event.preventDefault();
    if (action.kind === "step") onIndex(Math.min(parts.length - 1, Math.max(0, index === undefined ? (action.by > 0 ? 0 : parts.length - 1) : index + action.by)));
    else if (action.kind === "lane") onLane(action.by);
    else if (action.kind === "pan") onWindow(pan(view, action.by));
    else onWindow(zoom(view, action.by));
  };
  const onPointerDown = (event: PointerEvent<HTMLDivElement>): void => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = { x: event.clientX, from: view, moved: undefined };
  };
  const onPointerMove = (event: PointerEvent<HTMLDivElement>): void => {
    const held = drag.current;
    if (held === undefined) return;
    const share = (held.x - event.clientX) / event.currentTarget.clientWidth;
    if (held.moved === undefined && Math.abs(held.x - event.clientX) < 4) return;
    held.moved = pan(held.from, share);
    onDrag(held.moved);
  };
  const onPointerUp = (event: PointerEvent<HTMLDivElement>): void => {
    const held = drag.current;
    drag.current = undefined;
    onDrag(undefined);
    if (held === undefined) return;
    if (held.moved !== undefined) {
      onWindow(held.moved);
      return;
    }
    const track = event.currentTarget.getBoundingClientRect();
    const at = view.from + ((event.clientX - track.left) / track.width) * (view.to - view.from);
    const hit = nearest(parts, at, ((view.to - view.from) * 4) / track.width);
    if (hit !== undefined) onIndex(hit);
  };
  const span = view.to - view.from;
  return (
    <div className={css.lane}>
      <div className={css.name}>
        <Raw text={laneName(lane)} />
        <div className="dim" title={gradeWords(lane.grade)}>
          {lane.capability} · grade {lane.grade === "" ? "–" : lane.grade}
        </div>
      </div>
      <div className={css.trackCell}>
        <div
          className={css.track}
          role="slider"
          tabIndex={0}
          aria-label={visibleText(laneName(lane))}
          aria-valuemin={0}
          aria-valuemax={parts.length}
          aria-valuenow={index === undefined ? 0 : index + 1}
          aria-valuetext={current === undefined ? `${percent(lane.covered)} covered, ${parts.length} stretches` : stretchWords(current)}
          onKeyDown={onKeyDown}
          onPointerDown={onPointerDown}
          onPointerMove={onPointerMove}
          onPointerUp={onPointerUp}
          onPointerCancel={() => {
            drag.current = undefined;
            onDrag(undefined);
          }}
        >
          {parts.map((part, i) => (
            <div
              key={`${part.from} ${part.kind}`}
              className={`${css.stretch} ${css[part.kind]} ${i === index ? css.chosen : ""}`}
              style={{ left: `${(100 * (part.from - view.from)) / span}%`, width: `${(100 * (part.to - part.from)) / span}%` }}
            />
          ))}
        </div>
      </div>
      <div className={`${css.share} num`} title="Covered share of the expected time in this window">
        {percent(lane.covered)}
      </div>
    </div>
  );
}

interface Action {
  readonly kind: "step" | "lane" | "pan" | "zoom";
  readonly by: number;
}

function keyAction(key: string, shift: boolean): Action | undefined {
  switch (key) {
    case "ArrowRight":
      return shift ? { kind: "pan", by: 0.25 } : { kind: "step", by: 1 };
    case "ArrowLeft":
      return shift ? { kind: "pan", by: -0.25 } : { kind: "step", by: -1 };
    case "ArrowDown":
      return { kind: "lane", by: 1 };
    case "ArrowUp":
      return { kind: "lane", by: -1 };
    case "+":
    case "=":
      return { kind: "zoom", by: 0.5 };
    case "-":
      return { kind: "zoom", by: 2 };
    default:
      return undefined;
  }
}

// A gap may be a hair's breadth wide: within the slack, the shortest stretch wins.
function nearest(parts: readonly Stretch[], at: number, slack: number): number | undefined {
  let best: number | undefined;
  parts.forEach((part, i) => {
    if (at < part.from - slack || at > part.to + slack) return;
    const known = best === undefined ? undefined : parts[best];
    if (known === undefined || part.to - part.from < known.to - known.from) best = i;
  });
  return best;
}

function Axis({ view }: { readonly view: Window }) {
  const span = view.to - view.from;
  const long = span > 3 * 86_400_000;
  return (
    <div className={css.lane} aria-hidden="true">
      <div className={`${css.name} dim`}>UTC</div>
      <div className={css.trackCell}>
        <div className={css.axis}>
          {ticks(view, long ? 8 : 4)
            .filter((at) => at - view.from > span * 0.06 && view.to - at > span * 0.06)
            .map((at) => (
              <span key={at} className={`${css.tick} num`} style={{ left: `${(100 * (at - view.from)) / span}%` }}>
                {long ? utcText(new Date(at)).slice(5, 10) : utcText(new Date(at)).slice(5, 16)}
              </span>
            ))}
        </div>
      </div>
      <div />
    </div>
  );
}
