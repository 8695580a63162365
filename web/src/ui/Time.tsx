import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { agoWords, durationWords } from "../lib/duration";
import { dateOf, localText, utcText } from "../lib/time";

interface TimeProps {
  readonly at: Timestamp | Date | undefined;
  readonly seconds?: boolean;
  /** ago puts "3 hours ago" in place of the time itself. */
  readonly ago?: boolean;
  readonly none?: string;
}

/** Time is UTC, with the reader's own time on hover. */
export function Time({ at, seconds = true, ago = false, none = "–" }: TimeProps) {
  const date = at instanceof Date ? at : dateOf(at);
  if (date === undefined) return <span className="dim">{none}</span>;
  const utc = `${utcText(date, seconds)} UTC`;
  const hover = `${ago ? `${utc}\n` : ""}${localText(date)} (your time)`;
  return (
    <time dateTime={date.toISOString()} title={hover} className="num">
      {ago ? agoWords(date, new Date()) : utc}
    </time>
  );
}

/** Span says the time between two moments in words. */
export function Span({ from, to }: { readonly from: Date; readonly to: Date }) {
  return (
    <span title={`${utcText(from)} – ${utcText(to)} UTC`}>{durationWords(to.getTime() - from.getTime())}</span>
  );
}
