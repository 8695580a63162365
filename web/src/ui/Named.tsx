import css from "./named.module.css";
import { Raw } from "./Raw";

interface NamedProps {
  readonly of: readonly { readonly name: string; readonly value: string }[];
  readonly label: string;
  /** marked are names of fields to point out, whatever their case. */
  readonly marked?: readonly string[];
}

/** Named lists the fields of an event as their source names them. */
export function Named({ of, label, marked = [] }: NamedProps) {
  const pointed = new Set(marked.map((name) => name.toLowerCase()));
  if (of.length === 0) return <p className="dim">none</p>;
  return (
    <table className={css.table} aria-label={label}>
      <tbody>
        {of.map((field, i) => (
          <tr key={`${field.name} ${i}`} className={pointed.has(field.name.toLowerCase()) ? css.marked : undefined}>
            <th scope="row">
              <Raw text={field.name} />
              {pointed.has(field.name.toLowerCase()) ? <span className="sr"> (matched)</span> : null}
            </th>
            <td>
              <Raw text={field.value} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
