import { Link } from "@tanstack/react-router";
import type { Transition } from "../../gen/assay/console/v1/status_pb";
import { stateName } from "../../lib/state";
import { Empty } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { StateMark } from "../../ui/State";
import { Time } from "../../ui/Time";
import css from "./overview.module.css";

/** Transitions lists what changed in the last 24 hours, newest first. */
export function Transitions({ of }: { readonly of: readonly Transition[] }) {
  return (
    <Section title="Changed in 24 hours" aside={<>{of.length} shown</>} flush={of.length > 0}>
      {of.length === 0 ? (
        <Empty title="Nothing changed">Changes of state in the last 24 hours are listed here, newest first.</Empty>
      ) : (
        <ul className={css.list}>
          {of.map((change, i) => (
            <li key={`${change.position.toString()} ${change.hostId} ${change.check} ${i}`}>
              <span className="row">
                <StateMark state={stateName(change.from)} />
                <span aria-hidden="true">→</span>
                <span className="sr">to</span>
                <StateMark state={stateName(change.to)} />
                <span className="dim">
                  <Time at={change.validAt} ago />
                </span>
              </span>
              <span>
                <Link to="/hosts/$id" params={{ id: change.hostId }} search={{ check: change.check }}>
                  <Raw text={change.hostName} />
                </Link>{" "}
                <span className="mono">{change.check}</span> <span className="dim">{change.reason.replaceAll("_", " ")}</span>
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
