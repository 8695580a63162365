import { timestampDate, timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";

/** dateOf is a message's time; unset and out of range are undefined. */
export function dateOf(time: Timestamp | undefined): Date | undefined {
  if (time === undefined) return undefined;
  const date = timestampDate(time);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

export { timestampFromDate as timeOf };

/** utcText is "2026-11-23 04:00:12", always UTC; with no seconds where asked. */
export function utcText(date: Date, seconds = true): string {
  return date
    .toISOString()
    .slice(0, seconds ? 19 : 16)
    .replace("T", " ");
}

/** localText is the reader's own time with its zone, for a hover text. */
export function localText(date: Date): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" }).format(date);
}

/**
 * utcFromInput reads what a datetime-local field holds as UTC, since all times
 * of the console are UTC.
 */
export function utcFromInput(text: string): Date | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/.test(text)) return undefined;
  const date = new Date(`${text}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** utcToInput is utcFromInput's inverse. */
export function utcToInput(date: Date): string {
  return date.toISOString().slice(0, 16);
}

/** dateFromSearch reads an ISO time of an address. */
export function dateFromSearch(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
