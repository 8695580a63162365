import { CopyLabel } from "../../ui/Copy";
import { Raw } from "../../ui/Raw";
import css from "./rule.module.css";
import { namesField } from "./source";

interface RuleSourceProps {
  readonly source: string;
  /** marked are fields that matched: the lines that name them are pointed out. */
  readonly marked?: readonly string[];
}

/** RuleSource shows a rule's YAML with its line numbers, as text. */
export function RuleSource({ source, marked = [] }: RuleSourceProps) {
  const fields = new Set(marked.map((name) => name.toLowerCase()));
  const lines = source.replace(/\n$/, "").split("\n");
  return (
    <div>
      <div className="row" style={{ justifyContent: "flex-end", marginBottom: 6 }}>
        <CopyLabel value={source} what="the YAML" />
      </div>
      <div className={css.source} tabIndex={0} role="region" aria-label="Source of the rule, YAML">
        <table>
          <tbody>
            {lines.map((line, i) => {
              const hit = namesField(line, fields);
              return (
                <tr key={i} className={hit ? css.hit : undefined}>
                  <td className={css.number} aria-hidden="true" data-line={i + 1} />
                  <td>
                    {line === "" ? " " : <Raw text={line} />}
                    {hit ? <span className="sr"> (matched)</span> : null}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}
