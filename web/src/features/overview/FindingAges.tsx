import { Link } from "@tanstack/react-router";
import { findingAges } from "../../routes/searches";
import { Section } from "../../ui/Page";
import css from "./overview.module.css";

const words = ["under 1 hour", "1 hour to 1 day", "1 to 7 days", "7 to 30 days", "over 30 days"] as const;

/** FindingAges shows the open findings by how long they have been open. */
export function FindingAges({ ages, open }: { readonly ages: readonly number[]; readonly open: number }) {
  const most = Math.max(1, ...ages);
  return (
    <Section title="Open findings by age" aside={<>{open.toLocaleString("en")} open</>}>
      <ul className={css.ages}>
        {findingAges.map((age, i) => {
          const count = ages[i] ?? 0;
          return (
            <li key={age}>
              <span>{words[i]}</span>
              <span aria-hidden="true">
                <span className={`${css.age} ${count === 0 ? css.ageNone : ""}`} style={{ display: "block", width: `${(100 * count) / most}%` }} />
              </span>
              <Link to="/findings" search={{ status: "open", age }} className="num" style={{ textAlign: "right" }}>
                {count.toLocaleString("en")}
                <span className="sr"> open {words[i]}</span>
              </Link>
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
