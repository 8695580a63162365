import { randomBytes } from "node:crypto";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { SessionService } from "../../src/gen/assay/console/v1/session_pb";
import { cookieName, password, sessions, tokenOf, userOf, users } from "./variant";

const session = (user: string) => ({ user, role: users[user] ?? "viewer", expiresAt: timestampFromDate(new Date(Date.now() + 8 * 3_600_000)), serverVersion: "0.9.2 (fake)" });

export const sessionService: ServiceImpl<typeof SessionService> = {
  signIn(request, context) {
    if (!(request.name in users) || request.password !== password) throw new ConnectError("wrong name or password", Code.Unauthenticated);
    const token = randomBytes(16).toString("hex");
    sessions.set(token, request.name);
    context.responseHeader.set("Set-Cookie", `${cookieName}=${token}; HttpOnly; SameSite=Strict; Path=/`);
    return { session: session(request.name) };
  },
  signOut(_, context) {
    sessions.delete(tokenOf(context.requestHeader) ?? "");
    return {};
  },
  getSession: (_, context) => ({ session: session(userOf(context.requestHeader)) }),
};
