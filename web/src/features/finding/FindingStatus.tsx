import { Icon } from "../../ui/Icon";
import css from "../../ui/state.module.css";

/** FindingStatus says open or closed by icon, word and colour. */
export function FindingStatus({ status }: { readonly status: string }) {
  const open = status !== "closed";
  return (
    <span className={`${css.mark} ${open ? css.fail : css.not_applicable}`}>
      <Icon name={open ? "findings" : "done"} size={12} />
      {open ? "Open" : "Closed"}
    </span>
  );
}
