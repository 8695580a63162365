import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import type { Evaluated } from "../gen/assay/console/v1/common_pb";

/** PageAsk is one page of a list, as the API asks for it. */
export interface PageAsk {
  readonly size: number;
  readonly token: string;
}

/** Answer is one page of a list; total is undefined where the API does not count. */
export interface Answer<Row> {
  readonly rows: readonly Row[];
  readonly next: string;
  readonly total?: number | undefined;
  readonly evaluated?: Evaluated | undefined;
}

/** Ask fetches one page. */
export type Ask<Row> = (page: PageAsk, signal: AbortSignal) => Promise<Answer<Row>>;

/** List is a server-paged list as far as it has been read. */
export interface List<Row> {
  readonly rows: readonly Row[];
  /** total counts the whole list; undefined while unknown. */
  readonly total: number | undefined;
  /** complete is true when nothing is left to read. */
  readonly complete: boolean;
  /** cut is true when reading stopped at the limit. */
  readonly cut: boolean;
  readonly loading: boolean;
  readonly more: () => void;
  readonly loadingMore: boolean;
  readonly error: Error | null;
  readonly again: () => void;
  readonly evaluated: Evaluated | undefined;
  /** readAll reads to the end, for an export. */
  readonly readAll: () => Promise<readonly Row[]>;
}

interface Options<Row> {
  readonly key: readonly unknown[];
  readonly ask: Ask<Row>;
  /** keep filters what the API cannot; the list is then read to its end. */
  readonly keep?: ((row: Row) => boolean) | undefined;
  /** all reads to the end without a filter. */
  readonly all?: boolean;
  readonly enabled?: boolean;
}

const pageSize = 200;
const wholeSize = 500;

/** limit bounds what a browser holds of one list. */
export const listLimit = 20_000;

/**
 * useList reads a list page by page, and to its end where that is needed. While
 * another question is being answered nothing is shown, rather than the rows of
 * the question before: they may be another host's or another moment's.
 */
export function useList<Row>({ key, ask, keep, all = false, enabled = true }: Options<Row>): List<Row> {
  const whole = all || keep !== undefined;
  const size = whole ? wholeSize : pageSize;
  const query = useInfiniteQuery({
    queryKey: [...key, size],
    queryFn: ({ pageParam, signal }) => ask({ size, token: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => (last.next === "" ? undefined : last.next),
    enabled,
  });
  const pages = query.data?.pages;
  const loaded = useMemo(() => pages?.flatMap((page) => page.rows) ?? [], [pages]);
  const rows = useMemo(() => (keep === undefined ? loaded : loaded.filter(keep)), [loaded, keep]);
  const cut = loaded.length >= listLimit && query.hasNextPage;
  const { hasNextPage, isFetching, isError, fetchNextPage } = query;

  useEffect(() => {
    if (whole && hasNextPage && !isFetching && !isError && !cut) void fetchNextPage();
  }, [whole, hasNextPage, isFetching, isError, cut, fetchNextPage]);

  const readAll = async (): Promise<readonly Row[]> => {
    const out = [...loaded];
    let token = pages?.at(-1)?.next ?? "";
    const control = new AbortController();
    while (token !== "" && out.length < listLimit) {
      const page = await ask({ size: wholeSize, token }, control.signal);
      out.push(...page.rows);
      token = page.next;
    }
    return keep === undefined ? out : out.filter(keep);
  };

  const complete = query.isSuccess && !query.hasNextPage;
  return {
    rows,
    total: keep !== undefined ? (complete ? rows.length : undefined) : (pages?.[0]?.total ?? (complete ? rows.length : undefined)),
    complete,
    cut,
    loading: query.isPending,
    more: () => {
      if (hasNextPage && !isFetching) void fetchNextPage();
    },
    loadingMore: query.isFetchingNextPage,
    error: query.error,
    again: () => void query.refetch(),
    evaluated: pages?.[0]?.evaluated,
    readAll,
  };
}

/** listOf makes a List of rows that are at hand. */
export function listOf<Row>(rows: readonly Row[]): List<Row> {
  return {
    rows,
    total: rows.length,
    complete: true,
    cut: false,
    loading: false,
    more: () => undefined,
    loadingMore: false,
    error: null,
    again: () => undefined,
    evaluated: undefined,
    readAll: () => Promise.resolve(rows),
  };
}
