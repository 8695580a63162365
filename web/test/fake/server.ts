import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentService } from "../../src/gen/assay/console/v1/agent_pb";
import { AlertService } from "../../src/gen/assay/console/v1/alert_pb";
import { EventService } from "../../src/gen/assay/console/v1/event_pb";
import { FindingService } from "../../src/gen/assay/console/v1/finding_pb";
import { HostService } from "../../src/gen/assay/console/v1/host_pb";
import { LedgerService } from "../../src/gen/assay/console/v1/ledger_pb";
import { NotificationService } from "../../src/gen/assay/console/v1/notification_pb";
import { RuleService } from "../../src/gen/assay/console/v1/rule_pb";
import { SessionService } from "../../src/gen/assay/console/v1/session_pb";
import { StatusService } from "../../src/gen/assay/console/v1/status_pb";
import { SuppressionService } from "../../src/gen/assay/console/v1/suppression_pb";
import { agentService } from "./agent";
import { alertService } from "./alert";
import { eventService } from "./event";
import { findingService } from "./finding";
import { hostService } from "./host";
import { ledgerService } from "./ledger";
import { notificationService } from "./notification";
import { ruleService } from "./rule";
import { sessionService } from "./session";
import { statusService } from "./status";
import { suppressionService } from "./suppression";

const dist = join(import.meta.dirname, "../../dist");

// The same policy as the real server's: what breaks it must break here first.
const policy =
  "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

const api = connectNodeAdapter({
  requestPathPrefix: "/api",
  routes(router) {
    router.service(AgentService, agentService);
    router.service(AlertService, alertService);
    router.service(EventService, eventService);
    router.service(FindingService, findingService);
    router.service(HostService, hostService);
    router.service(LedgerService, ledgerService);
    router.service(NotificationService, notificationService);
    router.service(RuleService, ruleService);
    router.service(SessionService, sessionService);
    router.service(StatusService, statusService);
    router.service(SuppressionService, suppressionService);
  },
});

async function fileOf(url: string): Promise<string> {
  const path = normalize(decodeURIComponent(new URL(url, "http://x").pathname));
  const file = join(dist, path);
  const found = await stat(file).catch(() => undefined);
  return found?.isFile() === true ? file : join(dist, "index.html");
}

/** startFake serves the built console and the fake API on the loopback. */
export async function startFake(port: number): Promise<{ url: string; stop: () => Promise<void> }> {
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/api/") === true) {
      api(request, response);
      return;
    }
    void fileOf(request.url ?? "/").then((file) => {
      response.writeHead(200, {
        "Content-Type": types[extname(file)] ?? "application/octet-stream",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
      });
      createReadStream(file).pipe(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${bound}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
