import { useEffect } from "react";
import { isTyping } from "../../ui/useTableKeys";

/** useShortcuts: Ctrl-K opens the palette, / goes to the page's filter. */
export function useShortcuts(openPalette: () => void): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
        return;
      }
      if (event.key !== "/" || isTyping(event)) return;
      const filter = document.querySelector<HTMLElement>("[data-filter]");
      if (filter === null) return;
      event.preventDefault();
      filter.focus();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [openPalette]);
}
