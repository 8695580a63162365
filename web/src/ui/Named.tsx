import css from "./named.module.css";
import { Raw } from "./Raw";

/** Named lists the fields of an event as their source names them. */
export function Named({ of, label }: { readonly of: readonly { readonly name: string; readonly value: string }[]; readonly label: string }) {
  if (of.length === 0) return <p className="dim">none</p>;
  return (
    <table className={css.table} aria-label={label}>
      <tbody>
        {of.map((field, i) => (
          <tr key={`${field.name} ${i}`}>
            <th scope="row">
              <Raw text={field.name} />
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
