import { Popover } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { EventRef } from "../gen/assay/console/v1/common_pb";
import css from "./evidence.module.css";

/** refName is an event's name in addresses: position and ordinal. */
export function refName(ref: EventRef): string {
  return `${ref.position.toString()}.${ref.ordinal}`;
}

/** EventLink opens one event in the drawer over this page. */
export function EventLink({ of, children }: { readonly of: EventRef; readonly children?: React.ReactNode }) {
  return (
    <Link to="." search={(old) => ({ ...old, event: refName(of) })} resetScroll={false} className="num" data-event={refName(of)}>
      {children ?? refName(of)}
    </Link>
  );
}

/** EvidenceLinks opens the newest event at once, and lists the others. */
export function EvidenceLinks({ of, total }: { readonly of: readonly EventRef[]; readonly total: number }) {
  const [newest] = of;
  if (newest === undefined) return <span className="dim">none</span>;
  return (
    <span className={css.evidence}>
      <EventLink of={newest} />
      {total < 2 ? null : (
        <Popover position="bottom-end" shadow="md" withinPortal trapFocus>
          <Popover.Target>
            <button type="button" className={css.more}>
              of {total.toLocaleString("en")}
              <span className="sr"> events</span>
            </button>
          </Popover.Target>
          <Popover.Dropdown aria-label="Events this rests on">
            <p className="dim">
              {of.length < total ? `The newest ${of.length} of ${total.toLocaleString("en")} events` : `${total} events`}, as ledger position and index
            </p>
            <ul className={css.list}>
              {of.map((ref) => (
                <li key={refName(ref)}>
                  <EventLink of={ref} />
                </li>
              ))}
            </ul>
          </Popover.Dropdown>
        </Popover>
      )}
    </span>
  );
}
