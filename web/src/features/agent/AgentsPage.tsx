import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState } from "react";
import type { Agent } from "../../gen/assay/console/v1/agent_pb";
import { useList } from "../../lib/list";
import { dateOf } from "../../lib/time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Choice } from "../../ui/Filter";
import { Icon } from "../../ui/Icon";
import { Empty } from "../../ui/Note";
import { Page, Tag } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import { useIsAdmin } from "../session/useSession";
import { agentsAsk, agentsKey } from "./queries";
import { Tokens } from "./Tokens";

const route = getRouteApi("/app/agents");
const CreateToken = lazy(() => import("./CreateToken").then((module) => ({ default: module.CreateToken })));
const RevokeAgent = lazy(() => import("./RevokeAgent").then((module) => ({ default: module.RevokeAgent })));

function columnsFor(onRevoke: ((agent: Agent) => void) | undefined): readonly Column<Agent>[] {
  const columns: Column<Agent>[] = [
    {
      id: "host",
      header: "Host",
      width: "minmax(12rem, 1.4fr)",
      value: (agent) => agent.hostName,
      cell: (agent) => (
        <Link to="/hosts/$id" params={{ id: agent.hostId }}>
          <Raw text={agent.hostName} />
        </Link>
      ),
    },
    {
      id: "status",
      header: "Certificate",
      width: "minmax(9rem, 1fr)",
      value: (agent) => (agent.revokedAt === undefined ? "valid" : `revoked: ${agent.revokedReason}`),
      cell: (agent) =>
        agent.revokedAt === undefined ? (
          <span>
            ends <Time at={agent.certificateExpiresAt} ago />
          </span>
        ) : (
          <>
            <Tag warn>revoked</Tag> <Raw text={agent.revokedReason} />
          </>
        ),
    },
    { id: "version", header: "Version", width: "minmax(5rem, max-content)", value: (agent) => agent.version },
    { id: "seen", header: "Last seen", width: "minmax(7rem, max-content)", value: (agent) => dateOf(agent.lastSeenAt)?.toISOString(), cell: (agent) => <Time at={agent.lastSeenAt} ago /> },
    { id: "key", header: "Key", width: "minmax(6rem, max-content)", value: (agent) => agent.keyKind },
    { id: "rights", header: "Rights", width: "minmax(5rem, max-content)", value: (agent) => agent.rights.join(", ") },
    { id: "enrolled", header: "Enrolled", width: "minmax(7rem, max-content)", value: (agent) => dateOf(agent.enrolledAt)?.toISOString(), cell: (agent) => <Time at={agent.enrolledAt} ago /> },
    { id: "id", header: "Id", width: "minmax(12rem, 1fr)", off: true, value: (agent) => agent.id, cell: (agent) => <Raw text={agent.id} line /> },
  ];
  if (onRevoke === undefined) return columns;
  return [
    ...columns,
    {
      id: "revoke",
      header: "Action",
      width: "minmax(6rem, max-content)",
      value: () => undefined,
      cell: (agent) =>
        agent.revokedAt === undefined ? (
          <Button size="compact-xs" variant="default" onClick={() => onRevoke(agent)}>
            Revoke<span className="sr"> the agent of {agent.hostName}</span>
          </Button>
        ) : null,
    },
  ];
}

/** AgentsPage lists agents and the tokens that let new ones in. */
export function AgentsPage() {
  const { show } = route.useSearch();
  const navigate = useNavigate();
  const admin = useIsAdmin();
  const [creating, { open, close }] = useDisclosure(false);
  const [revoking, setRevoking] = useState<Agent>();
  const list = useList({ key: agentsKey, ask: agentsAsk, keep: show === "revoked" ? (agent) => agent.revokedAt !== undefined : undefined });
  const columns = useMemo(() => columnsFor(admin ? setRevoking : undefined), [admin]);
  return (
    <Page
      name="Agents"
      title="Agents"
      lead="Agents send telemetry over mutually authenticated TLS. Each makes its key on its own host; a token lets it in once."
      actions={
        admin ? (
          <Button leftSection={<Icon name="plus" size={13} />} onClick={open}>
            Enrolment token
          </Button>
        ) : undefined
      }
    >
      <DataTable
        name="agents"
        label="Agents"
        main
        columns={columns}
        list={list}
        rowKey={(agent) => agent.id}
        filters={<Choice label="Only" any="All" value={show} choices={[["revoked", "Revoked"]]} onChange={(value) => void navigate({ to: ".", search: (old) => ({ ...old, show: value === "revoked" ? ("revoked" as const) : undefined }) })} />}
        empty={
          show === "revoked" ? (
            <Empty title="No agent was revoked">
              <Link to="/agents" search={{}}>
                Show all agents
              </Link>
            </Empty>
          ) : (
            <Empty title="No agent has enrolled yet">
              <p>{admin ? "Create an enrolment token: it shows the command to run on a host. The agent appears here once it has run." : "An administrator of Assay creates an enrolment token; it shows the command to run on a host."}</p>
              {admin ? (
                <div>
                  <Button onClick={open}>Create an enrolment token</Button>
                </div>
              ) : null}
            </Empty>
          )
        }
      />
      {admin ? <Tokens onCreate={open} /> : null}
      <Suspense fallback={null}>
        {creating ? <CreateToken onDone={close} /> : null}
        {revoking === undefined ? null : <RevokeAgent agent={revoking} onDone={() => setRevoking(undefined)} />}
      </Suspense>
    </Page>
  );
}
