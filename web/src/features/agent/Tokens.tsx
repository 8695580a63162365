import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Token } from "../../gen/assay/console/v1/agent_pb";
import { agentApi } from "../../lib/api";
import { listOf } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Empty, Failure, Loading } from "../../ui/Note";
import { Section, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { tokensQuery } from "./queries";

/** tokenState says whether a token still lets anybody in. */
export function tokenState(token: Pick<Token, "revokedAt" | "expiresAt" | "usesLeft">, now: Date): "usable" | "revoked" | "expired" | "used up" {
  if (token.revokedAt !== undefined) return "revoked";
  const expires = dateOf(token.expiresAt);
  if (expires !== undefined && expires <= now) return "expired";
  return token.usesLeft === 0 ? "used up" : "usable";
}

function columnsFor(onRevoke: (token: Token) => void, asked: string | undefined): readonly Column<Token>[] {
  return [
    { id: "name", header: "Token", width: "minmax(12rem, 1.4fr)", value: (token) => token.name, cell: (token) => <Raw text={token.name} /> },
    {
      id: "state",
      header: "State",
      width: "minmax(6rem, max-content)",
      value: (token) => tokenState(token, new Date()),
      cell: (token) => {
        const state = tokenState(token, new Date());
        return <Tag warn={state === "usable"}>{state}</Tag>;
      },
    },
    { id: "rights", header: "Rights", width: "minmax(6rem, max-content)", value: (token) => token.rights.join(", ") },
    { id: "tags", header: "Tags", width: "minmax(7rem, 1fr)", value: (token) => token.tags.join(", "), cell: (token) => (token.tags.length === 0 ? "–" : <Raw text={token.tags.join(", ")} />) },
    { id: "uses", header: "Uses left", width: "minmax(5rem, max-content)", end: true, value: (token) => token.usesLeft },
    { id: "expires", header: "Ends", width: "minmax(7rem, max-content)", value: (token) => dateOf(token.expiresAt)?.toISOString(), cell: (token) => <Time at={token.expiresAt} ago /> },
    { id: "by", header: "Made by", width: "minmax(6rem, max-content)", value: (token) => token.createdBy, cell: (token) => <Raw text={token.createdBy} /> },
    {
      id: "action",
      header: "Action",
      width: "minmax(6rem, max-content)",
      value: () => undefined,
      cell: (token) =>
        tokenState(token, new Date()) === "usable" ? (
          <Button size="compact-xs" variant={asked === token.id ? "filled" : "default"} color={asked === token.id ? "red" : undefined} onClick={() => onRevoke(token)}>
            {asked === token.id ? "Revoke for good" : "Revoke"}
            <span className="sr"> token {token.name}</span>
          </Button>
        ) : null,
    },
  ];
}

/** Tokens lists the enrolment tokens; revoking asks twice. */
export function Tokens({ onCreate }: { readonly onCreate: () => void }) {
  const query = useQuery(tokensQuery);
  const client = useQueryClient();
  const [asked, setAsked] = useState<string>();
  const revoke = useMutation({
    mutationFn: (id: string) => agentApi.revokeToken({ id }),
    onSettled: () => {
      setAsked(undefined);
      void client.invalidateQueries({ queryKey: tokensQuery.queryKey });
    },
  });
  const { mutate } = revoke;
  const columns = useMemo(
    () =>
      columnsFor((token) => {
        if (asked === token.id) mutate(token.id);
        else setAsked(token.id);
      }, asked),
    [asked, mutate],
  );
  const tokens = query.data?.tokens;
  const list = useMemo(() => listOf(tokens ?? []), [tokens]);
  return (
    <Section title="Enrolment tokens" aside={tokens === undefined ? undefined : <>{tokens.length} in all</>} flush={tokens !== undefined}>
      {revoke.isError ? <Failure error={revoke.error} /> : null}
      {query.isError ? (
        <Failure error={query.error} again={() => void query.refetch()} />
      ) : tokens === undefined ? (
        <Loading lines={3} what="tokens" />
      ) : (
        <DataTable
          name="tokens"
          label="Enrolment tokens"
          plain
          columns={columns}
          list={list}
          rowKey={(token) => token.id}
          empty={
            <Empty title="No enrolment token">
              <p>A token lets agents enrol. It is shown once, with the command to run on a host.</p>
              <div>
                <Button onClick={onCreate}>Create an enrolment token</Button>
              </div>
            </Empty>
          }
        />
      )}
    </Section>
  );
}
