import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import tabs from "../../ui/tabs.module.css";
import { frameworksQuery } from "./queries";

/** FrameworkTabs leads from one framework to another. */
export function FrameworkTabs() {
  const frameworks = useQuery(frameworksQuery).data?.frameworks ?? [];
  if (frameworks.length < 2) return null;
  return (
    <nav aria-label="Frameworks" className={tabs.tabs}>
      {frameworks.map((framework) => (
        <Link key={framework.id} to="/controls/$framework" params={{ framework: framework.id }} activeOptions={{ includeSearch: false }}>
          {framework.title}
        </Link>
      ))}
    </nav>
  );
}
