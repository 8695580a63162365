import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { makeHosts, type FakeHost } from "./fleet";

// Who signs in chooses what the fake shows: admin and viewer see a fleet, empty
// sees a new installation, broken sees every question fail.

export const users: Record<string, string> = { admin: "admin", viewer: "viewer", empty: "admin", broken: "admin" };
export const password = "assay";
export const sessions = new Map<string, string>();
export const cookieName = "assay_session";

const full = makeHosts(260);

export function tokenOf(header: Headers): string | undefined {
  return new RegExp(`(?:^|; )${cookieName}=([0-9a-f]+)`).exec(header.get("cookie") ?? "")?.[1];
}

export function userOf(header: Headers): string {
  const user = sessions.get(tokenOf(header) ?? "");
  if (user === undefined) throw new ConnectError("no session", Code.Unauthenticated);
  return user;
}

/** fleetOf is what this session may see. */
export function fleetOf(context: HandlerContext): { hosts: FakeHost[]; empty: boolean } {
  const user = userOf(context.requestHeader);
  if (user === "broken") throw new ConnectError("reading host_state: connection refused", Code.Unavailable);
  return user === "empty" ? { hosts: [], empty: true } : { hosts: full, empty: false };
}

export function mustBeAdmin(context: HandlerContext): void {
  if (users[userOf(context.requestHeader)] !== "admin") throw new ConnectError("role admin is needed", Code.PermissionDenied);
}
