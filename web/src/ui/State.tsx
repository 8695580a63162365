import type { ReactNode } from "react";
import { stateOrder, stateWords, vectorSum, vectorWords, type StateName, type Vector } from "../lib/state";
import { Icon } from "./Icon";
import css from "./state.module.css";

/** StateMark is one state: icon, word and colour together. */
export function StateMark({ state }: { readonly state: StateName }) {
  return (
    <span className={`${css.mark} ${css[state]}`}>
      <Icon name={state} size={13} />
      {stateWords[state]}
    </span>
  );
}

/** LinkTo wraps a state's count into a link to what it counts. */
export type LinkTo = (state: StateName, className: string, children: ReactNode) => ReactNode;

interface VectorProps {
  readonly vector: Vector;
  /** of names what is counted: "hosts", "requirements". */
  readonly of: string;
  readonly link: LinkTo;
  /** words shows each state's word; otherwise icon and number, with the word for hover and screen readers. */
  readonly words?: boolean;
}

/** StateCounts lists the states that occur with their counts; fail and unknown stand even at zero. */
export function StateCounts({ vector, of, link, words = false }: VectorProps) {
  const total = vectorSum(vector);
  if (total === 0) return <span className="dim">no {of} in scope</span>;
  return (
    <span className={css.chips}>
      {stateOrder
        .filter((state) => vector[state] > 0 || (words && (state === "fail" || state === "unknown")))
        .map((state) => {
          const name = stateWords[state].toLowerCase();
          const inside = (
            <>
              <Icon name={state} size={12} />
              <span className="num">{vector[state].toLocaleString("en")}</span>
              {words ? <span>{name}</span> : <span className="sr"> {name}</span>}
              <span className="sr">
                {" "}
                of {total} {of}
              </span>
            </>
          );
          const look = `${css.mark} ${vector[state] === 0 ? css.zero : css[state]}`;
          return (
            <span key={state} title={`${vector[state]} of ${total} ${of}: ${name}`}>
              {link(state, look, inside)}
            </span>
          );
        })}
    </span>
  );
}

/** StateBar draws a vector as one bar; the counts beside it carry the meaning. */
export function StateBar({ vector, thin = false }: { readonly vector: Vector; readonly thin?: boolean }) {
  return (
    <div className={`${css.bar} ${thin ? css.thin : ""}`} role="img" aria-label={vectorWords(vector)}>
      {stateOrder
        .filter((state) => vector[state] > 0)
        .map((state) => (
          <div key={state} className={`${css.segment} ${css[state]}`} style={{ flexGrow: vector[state] }} />
        ))}
    </div>
  );
}

/** StateLegend says once what the icons mean. */
export function StateLegend() {
  return (
    <span className={css.chips} aria-label="States" role="group">
      {stateOrder.map((state) => (
        <StateMark key={state} state={state} />
      ))}
    </span>
  );
}
