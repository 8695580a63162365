import { queryOptions } from "@tanstack/react-query";
import type { Agent } from "../../gen/assay/console/v1/agent_pb";
import { agentApi } from "../../lib/api";
import type { Ask } from "../../lib/list";

export const agentsKey = ["agents"] as const;

/** agentsAsk reads the list of agents. */
export const agentsAsk: Ask<Agent> = async (page, signal) => {
  const answer = await agentApi.listAgents({ page }, { signal });
  return { rows: answer.agents, next: answer.nextPageToken };
};

/** tokensQuery is every enrolment token; admins only. */
export const tokensQuery = queryOptions({
  queryKey: ["tokens"],
  queryFn: ({ signal }) => agentApi.listTokens({}, { signal }),
});
