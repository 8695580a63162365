import { randomBytes } from "node:crypto";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { AgentService } from "../../src/gen/assay/console/v1/agent_pb";
import { at, day, hour, page, started } from "./fleet";
import { fleetOf, mustBeAdmin, userOf } from "./variant";

const revoked = new Map<string, string>();
const tokens: { id: string; name: string; rights: string[]; tags: string[]; uses: number; made: Date; hours: number; by: string; revokedAt?: Date }[] = [
  { id: "t-1", name: "Tills, first roll-out", rights: ["enrol"], tags: ["pos", "cde"], uses: 212, made: new Date(started.getTime() - 3 * day), hours: 720, by: "admin" },
  { id: "t-2", name: "Exports of the old servers", rights: ["enrol", "import"], tags: [], uses: 0, made: new Date(started.getTime() - 9 * day), hours: 24, by: "admin", revokedAt: new Date(started.getTime() - 8 * day) },
];

const token = (of: (typeof tokens)[number]) => ({
  id: of.id,
  name: of.name,
  rights: of.rights,
  tags: of.tags,
  usesLeft: of.uses,
  createdAt: timestampFromDate(of.made),
  expiresAt: timestampFromDate(new Date(of.made.getTime() + of.hours * hour)),
  ...(of.revokedAt === undefined ? {} : { revokedAt: timestampFromDate(of.revokedAt) }),
  createdBy: of.by,
});

export const agentService: ServiceImpl<typeof AgentService> = {
  listAgents(request, context) {
    const all = fleetOf(context).hosts.filter((host) => host.kind === "enrolled").map((host) => {
      const reason = revoked.get(`a-${host.index}`) ?? (host.index === 8 ? "key copied" : "");
      return {
        id: `a-${host.index}`,
        hostId: host.id,
        hostName: host.name,
        version: "0.9.2",
        rights: ["enrol"],
        keyKind: host.index < 6 ? "tpm" : "software",
        enrolledAt: at(40 * day),
        lastSeenAt: at(host.silent ? 9 * hour : 25_000),
        ...(reason === "" ? {} : { revokedAt: at(hour) }),
        revokedReason: reason,
        certificateExpiresAt: timestampFromDate(new Date(started.getTime() + 5 * day)),
      };
    });
    const cut = page(all, request.page);
    return { agents: cut.rows, nextPageToken: cut.next };
  },
  revokeAgent(request, context) {
    mustBeAdmin(context);
    if (request.reason === "") throw new ConnectError("a reason is needed", Code.InvalidArgument);
    revoked.set(request.id, request.reason);
    return {};
  },
  listTokens(_, context) {
    mustBeAdmin(context);
    return { tokens: fleetOf(context).empty ? [] : tokens.map(token) };
  },
  createToken(request, context) {
    mustBeAdmin(context);
    if (request.name === "") throw new ConnectError("a name is needed", Code.InvalidArgument);
    const made = { id: `t-${tokens.length + 1}`, name: request.name, rights: request.rights, tags: request.tags, uses: request.uses, made: new Date(), hours: request.validHours, by: userOf(context.requestHeader) };
    tokens.unshift(made);
    return { token: token(made), secret: randomBytes(32).toString("base64url"), caHash: randomBytes(32).toString("hex"), server: "assay.corp.example:8443" };
  },
  revokeToken(request, context) {
    mustBeAdmin(context);
    const found = tokens.find((one) => one.id === request.id);
    if (found === undefined) throw new ConnectError(`no token ${request.id}`, Code.NotFound);
    found.revokedAt = new Date();
    return { token: token(found) };
  },
};
