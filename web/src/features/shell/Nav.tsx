import { Link } from "@tanstack/react-router";
import { Icon, type IconName } from "../../ui/Icon";
import css from "./shell.module.css";

/** pages are the console's pages in the order of the menu and the palette. */
export const pages = [
  { to: "/overview", name: "Overview", icon: "overview" },
  { to: "/controls", name: "Controls", icon: "controls" },
  { to: "/hosts", name: "Hosts", icon: "hosts" },
  { to: "/findings", name: "Findings", icon: "findings" },
  { to: "/alerts", name: "Alerts", icon: "alerts" },
  { to: "/rules", name: "Rules", icon: "rules" },
  { to: "/suppressions", name: "Suppressions", icon: "suppressions" },
  { to: "/reviews", name: "Reviews", icon: "reviews" },
  { to: "/events", name: "Events", icon: "events" },
  { to: "/agents", name: "Agents", icon: "agents" },
  { to: "/ledger", name: "Ledger", icon: "ledger" },
  { to: "/settings/notifications", name: "Notifications", icon: "notifications" },
] as const satisfies readonly { to: string; name: string; icon: IconName }[];

/** Nav is the menu of pages. */
export function Nav({ onGo }: { readonly onGo?: () => void }) {
  return (
    <nav aria-label="Pages">
      <ul className={css.nav}>
        {pages.map((page) => (
          <li key={page.to}>
            <Link to={page.to} onClick={onGo}>
              <Icon name={page.icon} />
              {page.name}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
