import { useEffect, type RefObject } from "react";

const typing = "input, textarea, select, [contenteditable], [role=listbox], [role=dialog], [role=menu]";

/** isTyping is true while single keys belong to a field or a dialog. */
export function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  return (target instanceof Element && target.closest(typing) !== null) || document.querySelector("[role=dialog]") !== null;
}

function focusRow(box: HTMLElement, index: number): boolean {
  const row = box.querySelector<HTMLElement>(`[data-row="${index}"]`);
  if (row === null) return false;
  const target = row.querySelector<HTMLElement>("a, button") ?? row;
  target.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  return true;
}

/**
 * useTableKeys moves through a table's rows with j and k; Enter follows the
 * focused row's first link by itself. `reveal` brings a row that is not
 * rendered into view. Where no table has the focus, the first on the page moves.
 */
export function useTableKeys(box: RefObject<HTMLElement | null>, count: number, reveal: (index: number) => void): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if ((event.key !== "j" && event.key !== "k") || isTyping(event) || box.current === null) return;
      const focused = document.activeElement?.closest<HTMLElement>("[data-table]") ?? document.querySelector("[data-table]");
      if (focused !== box.current || count === 0) return;
      const row = document.activeElement?.closest<HTMLElement>("[data-row]");
      const at = row !== null && row !== undefined && box.current.contains(row) ? Number(row.dataset.row) : -1;
      const next = event.key === "j" ? Math.min(at + 1, count - 1) : Math.max(at - 1, 0);
      event.preventDefault();
      if (focusRow(box.current, next)) return;
      reveal(next);
      requestAnimationFrame(() => {
        if (box.current !== null) focusRow(box.current, next);
      });
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [box, count, reveal]);
}
