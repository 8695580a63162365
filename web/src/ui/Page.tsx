import { useEffect, type ReactNode } from "react";
import css from "./page.module.css";

interface PageProps {
  /** name is the window's title. */
  readonly name: string;
  readonly title: ReactNode;
  readonly crumbs?: ReactNode;
  readonly lead?: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** Page is the frame of every page: where one is, its heading, then the rest. */
export function Page({ name, title, crumbs, lead, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${name} – Assay`;
  }, [name]);
  return (
    <div className="stack">
      <header className={css.head}>
        <div>
          {crumbs === undefined ? null : (
            <nav aria-label="Path" className={css.crumbs}>
              {crumbs}
            </nav>
          )}
          <h1 className={css.title}>{title}</h1>
          {lead === undefined ? null : <div className={css.lead}>{lead}</div>}
        </div>
        {actions === undefined ? null : <div className="row no-print">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

interface SectionProps {
  readonly title: ReactNode;
  readonly aside?: ReactNode;
  readonly flush?: boolean;
  readonly children: ReactNode;
}

/** Section is a titled box. */
export function Section({ title, aside, flush = false, children }: SectionProps) {
  return (
    <section className={css.section}>
      <div className={css.sectionHead}>
        <h2>{title}</h2>
        {aside === undefined ? null : <div className="dim">{aside}</div>}
      </div>
      <div className={`${css.sectionBody} ${flush ? css.flush : ""}`}>{children}</div>
    </section>
  );
}

/** Facts lists names and values. */
export function Facts({ of }: { readonly of: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className={css.facts}>
      {of.map(([name, value], i) => (
        <div key={`${name} ${i}`}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Tag is a small word beside a name; `warn` for what must not be overlooked. */
export function Tag({ children, warn = false, title }: { readonly children: ReactNode; readonly warn?: boolean; readonly title?: string }) {
  return (
    <span className={`${css.tag} ${warn ? css.warnTag : ""}`} title={title}>
      {children}
    </span>
  );
}
