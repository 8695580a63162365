import { columnVisibilityFeature, createSortedRowModel, rowSortingFeature, tableFeatures, useTable } from "@tanstack/react-table";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, type ReactNode } from "react";
import type { Exported, Value } from "../lib/export";
import type { List } from "../lib/list";
import { word } from "../lib/search";
import { Icon } from "./Icon";
import { Failure, Loading } from "./Note";
import css from "./table.module.css";
import { ColumnChooser, ExportMenu } from "./TableTools";
import { usePrinting } from "./usePrinting";
import { useTableKeys } from "./useTableKeys";

/** Column is one column: what it exports and sorts by (value), and how it looks (cell). */
export interface Column<Row> extends Exported<Row> {
  readonly id: string;
  /** width is a grid track, at least `minmax(Nrem, …)`. */
  readonly width: string;
  readonly cell?: (row: Row) => ReactNode;
  readonly end?: boolean;
  /** order sorts where the value's own order would mislead. */
  readonly order?: (row: Row) => Value;
  /** off keeps the column hidden until it is chosen. */
  readonly off?: boolean;
}

interface DataTableProps<Row> {
  /** name is the file name of exports, label what screen readers hear. */
  readonly name: string;
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly list: List<Row>;
  readonly rowKey: (row: Row) => string;
  readonly empty: ReactNode;
  readonly filters?: ReactNode;
  /** main is the page's table: its sorting and columns are in the address. */
  readonly main?: boolean;
  readonly plain?: boolean;
  /** count says how many there are in the list's own words. */
  readonly count?: ReactNode;
  /** group puts a heading wherever its word changes, while nothing is sorted. */
  readonly group?: (row: Row) => string;
}

const features = tableFeatures({ columnVisibilityFeature, rowSortingFeature, sortedRowModel: createSortedRowModel() });

const virtualFrom = 200;

/** compareValues orders numbers by size and texts as people do, what is unset last. */
export function compareValues(a: Value, b: Value): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), "en", { numeric: true });
  return a < b ? -1 : a > b ? 1 : 0;
}

function orderOf<Row>(column: Column<Row>, row: Row): Value {
  return (column.order ?? column.value)(row);
}

/** DataTable is every list of the console. */
export function DataTable<Row extends object>(props: DataTableProps<Row>) {
  const { name, label, columns, list, rowKey, empty, filters, main = false, plain = false, count, group } = props;
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const box = useRef<HTMLDivElement>(null);
  const printing = usePrinting();

  const chosen = main ? word(search.cols)?.split(",") : undefined;
  const known = columns.map((column) => column.id).filter((id) => chosen?.includes(id));
  const shown = known.length > 0 ? known : columns.filter((column) => column.off !== true).map((column) => column.id);
  const sort = main && list.complete ? word(search.sort) : undefined;
  const sorted = sort?.replace(/^-/, "");
  const descending = sort?.startsWith("-") ?? false;

  const defs = useMemo(
    () =>
      columns.map((column) => ({
        id: column.id,
        header: column.header,
        accessorFn: column.value,
        sortFn: (a: { original: Row }, b: { original: Row }) => compareValues(orderOf(column, a.original), orderOf(column, b.original)),
      })),
    [columns],
  );
  const data = list.rows as Row[];
  const table = useTable({
    features,
    columns: defs,
    data,
    getRowId: rowKey,
    state: {
      columnVisibility: Object.fromEntries(columns.map((column) => [column.id, shown.includes(column.id)])),
      sorting: sorted === undefined ? [] : [{ id: sorted, desc: descending }],
    },
  });
  const rows = table.getRowModel().rows;
  const visible = table.getVisibleLeafColumns().flatMap((leaf) => columns.find((column) => column.id === leaf.id) ?? []);

  const virtual = rows.length >= virtualFrom && !printing;
  const virtualizer = useVirtualizer({
    count: rows.length,
    enabled: virtual,
    getScrollElement: () => box.current,
    estimateSize: () => 34,
    overscan: 12,
    getItemKey: (i) => rows[i]?.id ?? i,
  });
  const items = virtualizer.getVirtualItems();
  const range = virtual ? items.map((item) => item.index) : rows.map((_, i) => i);
  const before = virtual ? (items[0]?.start ?? 0) : 0;
  const after = virtual ? virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0) : 0;
  const reveal = useCallback((index: number) => virtualizer.scrollToIndex(index), [virtualizer]);
  useTableKeys(box, rows.length, reveal);

  const atEnd = (range.at(-1) ?? 0) >= rows.length - 20;
  const { more, complete, cut } = list;
  useEffect(() => {
    if (virtual && atEnd && !complete && !cut) more();
  });

  const change = (next: { cols?: string | undefined; sort?: string | undefined }): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, ...next }), replace: true, resetScroll: false });
  };
  const order = (all: readonly Row[]): readonly Row[] => {
    const column = columns.find((one) => one.id === sorted);
    if (column === undefined) return all;
    const out = [...all].sort((a, b) => compareValues(orderOf(column, a), orderOf(column, b)));
    return descending ? out.reverse() : out;
  };

  return (
    <div className={`${css.wrap} ${plain ? css.plain : ""}`}>
      {filters === undefined && !main ? null : (
        <div className={css.tools}>
          <div className={css.filters}>{filters}</div>
          {main ? (
            <>
              <ColumnChooser columns={columns} shown={shown} onChange={(ids) => change({ cols: ids.join(",") })} />
              <ExportMenu name={name} columns={visible} list={list} order={order} />
            </>
          ) : null}
        </div>
      )}
      {list.error !== null && rows.length === 0 ? (
        <div className={css.pad}>
          <Failure error={list.error} again={list.again} />
        </div>
      ) : list.loading && rows.length === 0 ? (
        <div className={css.pad}>
          <Loading what={label} />
        </div>
      ) : rows.length === 0 && complete ? (
        <div className={css.pad}>{empty}</div>
      ) : (
        <div className={css.scroll} ref={box} data-table={name} tabIndex={0} role="region" aria-label={label}>
          <div
            className={css.grid}
            role="table"
            aria-label={label}
            aria-rowcount={complete ? rows.length + 1 : -1}
            aria-busy={list.loading}
            style={{ "--cols": visible.map((column) => column.width).join(" ") } as React.CSSProperties}
          >
            <div role="rowgroup" className={css.group} style={{ position: "sticky", top: 0, zIndex: 2 }}>
              <div role="row" className={`${css.row} ${css.head}`} aria-rowindex={1}>
                {visible.map((column) => (
                  <HeadCell
                    key={column.id}
                    column={column}
                    sort={column.id === sorted ? (descending ? "descending" : "ascending") : undefined}
                    onSort={main && complete ? () => change({ sort: column.id !== sorted ? column.id : descending ? undefined : `-${column.id}` }) : undefined}
                  />
                ))}
              </div>
            </div>
            <div role="rowgroup" className={css.group} style={{ paddingTop: before, paddingBottom: after }}>
              {range.map((i) => {
                const row = rows[i];
                if (row === undefined) return null;
                const heading = group === undefined || sorted !== undefined ? "" : group(row.original);
                const previous = rows[i - 1];
                const headed = heading !== "" && (previous === undefined || group?.(previous.original) !== heading);
                return (
                  <div key={row.id} role="row" className={css.row} aria-rowindex={i + 2} data-row={i} data-index={i} tabIndex={-1} ref={virtual ? virtualizer.measureElement : undefined}>
                    {headed ? (
                      <div role="cell" className={css.heading}>
                        {heading}
                      </div>
                    ) : null}
                    {visible.map((column) => (
                      <div key={column.id} role="cell" className={`${css.cell} ${column.end === true ? css.end : ""}`} data-label={column.header}>
                        <div>{column.cell === undefined ? plainCell(column.value(row.original)) : column.cell(row.original)}</div>
                      </div>
                    ))}
                  </div>
                );
              })}
            </div>
          </div>
        </div>
      )}
      <Foot list={list} shown={rows.length} count={count} />
    </div>
  );
}

function plainCell(value: Value): ReactNode {
  return value === undefined ? <span className="dim">–</span> : typeof value === "number" || typeof value === "bigint" ? <span className="num">{value.toLocaleString("en")}</span> : String(value);
}

interface HeadCellProps<Row> {
  readonly column: Column<Row>;
  readonly sort: "ascending" | "descending" | undefined;
  readonly onSort: (() => void) | undefined;
}

function HeadCell<Row>({ column, sort, onSort }: HeadCellProps<Row>) {
  return (
    <div role="columnheader" aria-sort={sort ?? (onSort === undefined ? undefined : "none")} className={`${css.headCell} ${column.end === true ? css.end : ""}`}>
      {onSort === undefined ? (
        column.header
      ) : (
        <button type="button" className={css.sort} onClick={onSort}>
          {column.header}
          {sort === undefined ? null : <Icon name={sort === "ascending" ? "up" : "down"} size={11} />}
        </button>
      )}
    </div>
  );
}

function Foot<Row>({ list, shown, count }: { readonly list: List<Row>; readonly shown: number; readonly count: ReactNode }) {
  if (shown === 0) return null;
  const total = list.total;
  return (
    <div className={css.foot}>
      <span aria-live="polite" className="num">
        {count ?? (total === undefined ? `${shown.toLocaleString("en")} read so far` : shown < total ? `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} read` : `${total.toLocaleString("en")} in all`)}
        {list.cut ? " – only so many are read into one page; narrow the filter to see the rest" : ""}
        {list.loadingMore ? " – reading more" : ""}
      </span>
      {list.error !== null ? <span role="alert">The rest could not be read. <button type="button" className={css.sort} onClick={list.again}>Try again</button></span> : null}
      {list.complete || list.cut ? null : (
        <button type="button" className={css.sort} onClick={list.more}>
          Read more
        </button>
      )}
    </div>
  );
}
