import { Button, Skeleton } from "@mantine/core";
import type { ReactNode } from "react";
import { describeFault } from "../lib/fault";
import { Icon } from "./Icon";
import css from "./page.module.css";
import { Raw } from "./Raw";

/** Empty says what will appear here and how it gets here. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className={css.note}>
      <Icon name="search" />
      <div className={css.noteBody}>
        <strong>{title}</strong>
        {children}
      </div>
    </div>
  );
}

/** Failure says what went wrong and what to do; `again` asks once more. */
export function Failure({ error, again }: { readonly error: unknown; readonly again?: () => void }) {
  const fault = describeFault(error);
  return (
    <div className={`${css.note} ${css.bad}`} role="alert">
      <Icon name="warn" />
      <div className={css.noteBody}>
        <strong>{fault.title}</strong>
        <p>{fault.advice}</p>
        {fault.detail === undefined ? null : (
          <p className="dim">
            The server said: <Raw text={fault.detail} sentence />
          </p>
        )}
        {again === undefined ? null : (
          <div>
            <Button variant="default" onClick={() => again()}>
              Try again
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}

/** Loading holds the place of `lines` lines. */
export function Loading({ lines = 6, what = "page" }: { readonly lines?: number; readonly what?: string }) {
  return (
    <div className="stack" role="status" style={{ gap: 8 }}>
      <span className="sr">Loading the {what}</span>
      {Array.from({ length: lines }, (_, i) => (
        <Skeleton key={i} height={18} width={`${95 - ((i * 17) % 40)}%`} radius={4} />
      ))}
    </div>
  );
}
