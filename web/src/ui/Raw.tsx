import { pieces, visibleText } from "../lib/visible";
import css from "./raw.module.css";

interface RawProps {
  readonly text: string;
  /** line keeps it to one line, the rest on hover. */
  readonly line?: boolean;
  /** sentence is for the server's own words with such text within: no monospace. */
  readonly sentence?: boolean;
}

/**
 * Raw shows text that somebody else chose: names of hosts, of files, fields of
 * events. Monospace, isolated from its surroundings, hidden characters named.
 */
export function Raw({ text, line = false, sentence = false }: RawProps) {
  if (text === "") return <span className="dim">(empty)</span>;
  return (
    <bdi dir="ltr" className={`${css.raw} ${line ? css.line : ""} ${sentence ? css.sentence : ""}`} title={line ? visibleText(text) : undefined}>
      {pieces(text).map((piece, i) =>
        "text" in piece ? (
          piece.text
        ) : (
          <span key={i} className={css.hidden} title={`${piece.code} ${piece.name}`}>
            {piece.code}
            <span className="sr"> {piece.name} </span>
          </span>
        ),
      )}
    </bdi>
  );
}
