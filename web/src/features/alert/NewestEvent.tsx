import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Detection, MatchedValue } from "../../gen/assay/console/v1/alert_pb";
import type { EventRef } from "../../gen/assay/console/v1/common_pb";
import { EventLink } from "../../ui/Evidence";
import { Named } from "../../ui/Named";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { eventQuery } from "../event/queries";
import css from "./alert.module.css";

/** Matched are the values that made the rule match, by its selections. */
export function Matched({ of }: { readonly of: Detection | undefined }) {
  const groups = useMemo(() => bySelection(of?.matched ?? []), [of]);
  return (
    <Section title="Matched on" aside={of?.event === undefined ? undefined : <EventLink of={of.event}>Open the event with its proof</EventLink>}>
      {of === undefined ? (
        <Empty title="The detection is being projected anew">What matched is shown once the projections have caught up.</Empty>
      ) : groups.length === 0 ? (
        <p className="dim">{of.memberCount > 0 ? `A correlation of ${of.memberCount} events, the last of them above.` : "The rule matched on what an event lacks."}</p>
      ) : (
        <div className={css.matched}>
          {groups.map(([selection, values]) => (
            <div key={selection}>
              <h3>
                <Raw text={selection} />
              </h3>
              <Named label={`Matched by ${selection}`} of={values.map((one) => ({ name: one.field, value: one.value }))} marked={values.map((one) => one.field)} />
            </div>
          ))}
        </div>
      )}
    </Section>
  );
}

function bySelection(matched: readonly MatchedValue[]): [selection: string, values: MatchedValue[]][] {
  const groups = new Map<string, MatchedValue[]>();
  for (const one of matched) groups.set(one.selection, [...(groups.get(one.selection) ?? []), one]);
  return [...groups];
}

/** NewestEvent is the raw event that matched last, what matched marked in it. */
export function NewestEvent({ event, matched }: { readonly event: EventRef; readonly matched: readonly { readonly field: string }[] }) {
  const query = useQuery(eventQuery(event.position, event.ordinal));
  const marked = matched.map((one) => one.field);
  return (
    <Section title="Newest event" aside={<EventLink of={event}>All fields and proof</EventLink>}>
      {query.data !== undefined ? (
        <Named of={query.data.raw} label="Raw fields of the newest event" marked={marked} />
      ) : query.isError ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : (
        <Loading what="event" />
      )}
    </Section>
  );
}
