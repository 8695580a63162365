import type { StateName } from "../lib/state";

/** IconName names every drawing of the console; there is no icon font. */
export type IconName =
  | StateName
  | "search"
  | "clock"
  | "close"
  | "menu"
  | "columns"
  | "download"
  | "copy"
  | "done"
  | "user"
  | "sun"
  | "moon"
  | "system"
  | "left"
  | "right"
  | "plus"
  | "minus"
  | "filter"
  | "overview"
  | "controls"
  | "hosts"
  | "findings"
  | "alerts"
  | "rules"
  | "suppressions"
  | "notifications"
  | "reviews"
  | "events"
  | "agents"
  | "ledger"
  | "warn"
  | "up"
  | "down";

// Drawn on a 16 by 16 grid as strokes.
const paths: Readonly<Record<IconName, string>> = {
  pass: "M3 8.500l3.200 3.200L13 4.800",
  fail: "M4 4l8 8M12 4l-8 8",
  unknown: "M5.200 6a2.800 2.800 0 1 1 4.300 2.350c-1 .65-1.500 1.050-1.500 2.150M8 13.100v.1",
  error: "M8 2.800v6.700M8 13v.1",
  not_applicable: "M3.500 8h9",
  manual: "M5 9.500V4.200a1 1 0 0 1 2 0V7.500 3.200a1 1 0 0 1 2 0V7.500 4.200a1 1 0 0 1 2 0v5.300c0 2.500-1.300 4.300-3.500 4.300-1.700 0-2.500-.8-3.300-2.200L2.900 9.600c-.6-1.100.9-1.900 1.600-.9z",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300l3.200 3.200",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.800V8l2.200 1.500",
  close: "M4 4l8 8M12 4l-8 8",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  columns: "M2.500 3h11v10h-11zM6.200 3v10M9.800 3v10",
  download: "M8 2.500v7.500M4.800 7L8 10.200 11.200 7M3 13.200h10",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  done: "M3 8.500l3.200 3.200L13 4.800",
  user: "M8 2.500a2.700 2.700 0 1 0 0 5.400 2.700 2.700 0 0 0 0-5.400zM2.800 13.800c.5-2.800 2.500-4.200 5.200-4.200s4.700 1.400 5.200 4.200",
  sun: "M8 5.200a2.800 2.800 0 1 0 0 5.600 2.800 2.800 0 0 0 0-5.600zM8 1.500v1.300M8 13.200v1.300M1.500 8h1.300M13.200 8h1.300M3.400 3.400l.9.9M11.700 11.700l.9.9M12.600 3.400l-.9.9M4.300 11.700l-.9.9",
  moon: "M13 9.700A5.600 5.600 0 0 1 6.300 3 5.600 5.600 0 1 0 13 9.700z",
  system: "M2 3h12v8H2zM5.500 13.800h5M8 11v2.800",
  left: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  up: "M3 10l5-5 5 5",
  down: "M3 6l5 5 5-5",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  filter: "M2.500 3.500h11L9.500 8.500v4l-3 1v-5z",
  overview: "M2.500 2.500h4.500v6H2.500zM9 2.500h4.500v3H9zM9 7.500h4.500v6H9zM2.500 10.500h4.500v3H2.500z",
  controls: "M2.500 4l1.200 1.200L6 3M2.500 8.500l1.200 1.200L6 7.500M2.500 13l1.200 1.200L6 12M8.500 4.200h5M8.500 8.700h5M8.500 13.200h5",
  hosts: "M2.500 3h11v7h-11zM5.500 13.200h5M8 10v3.200",
  findings: "M3.500 14V2.500M3.500 3h8.500l-2 2.700 2 2.800H3.500",
  alerts: "M8 2.200a4 4 0 0 0-4 4v3L2.600 11.600h10.800L12 9.200v-3a4 4 0 0 0-4-4zM6.500 13.600a1.600 1.600 0 0 0 3 0",
  rules: "M3 2.500h7.500L13 5v8.500H3zM5.500 6.500h3M5.500 9h5M5.500 11.200h3.500",
  suppressions: "M4 9.200V6.200a4 4 0 0 1 6.500-3.100M12 6.500v2.700l1.400 2.400H6M6.500 13.600a1.600 1.600 0 0 0 3 0M2.500 13.500l11-11",
  notifications: "M14 2.200L2 7l4.500 2.200L14 2.200zM14 2.200L9.500 14l-3-4.800",
  reviews: "M3 2.500h10v11H3zM5.500 6l1 1 2-2.200M5.500 10.500l1 1 2-2.200M10 6.500h1.200M10 11h1.200",
  events: "M2.500 4h11M2.500 8h7.500M2.500 12h9.500",
  agents: "M8 2.200l5 2v3.600c0 3-2 5-5 6.200-3-1.200-5-3.200-5-6.200V4.200z",
  ledger: "M8 2.200v3.200M4 8.200V7a1.500 1.500 0 0 1 1.500-1.500h5A1.500 1.500 0 0 1 12 7v1.200M2.200 8.500h3.500v3.500H2.200zM10.300 8.500h3.500v3.500h-3.500z",
  warn: "M8 2.500l6 11H2zM8 6.500v3.300M8 11.600v.1",
};

/** Icon is decoration: the word beside it, or its button's label, says what it means. */
export function Icon({ name, size = 16 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={paths[name]} />
    </svg>
  );
}

/** Logo is the mark of an assay office: a punched octagon, an A, a tick for its bar. */
export function Logo({ size = 26 }: { readonly size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M9.200 1.500h13.600l7.700 7.700v13.600l-7.700 7.700H9.200l-7.700-7.700V9.200z" fill="#1d3a5f" stroke="#6d94c2" strokeWidth="1" />
      <path d="M8.500 24.500 16 7l7.500 17.500" fill="none" stroke="#fff" strokeWidth="3" strokeLinecap="round" strokeLinejoin="round" />
      <path d="m12.200 18.300 2.800 2.700 6.200-6.400" fill="none" stroke="#3ccf9f" strokeWidth="3" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
