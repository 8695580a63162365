import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AgentService } from "../gen/assay/console/v1/agent_pb";
import { AlertService } from "../gen/assay/console/v1/alert_pb";
import { EventService } from "../gen/assay/console/v1/event_pb";
import { FindingService } from "../gen/assay/console/v1/finding_pb";
import { HostService } from "../gen/assay/console/v1/host_pb";
import { LedgerService } from "../gen/assay/console/v1/ledger_pb";
import { NotificationService } from "../gen/assay/console/v1/notification_pb";
import { RuleService } from "../gen/assay/console/v1/rule_pb";
import { SessionService } from "../gen/assay/console/v1/session_pb";
import { StatusService } from "../gen/assay/console/v1/status_pb";
import { SuppressionService } from "../gen/assay/console/v1/suppression_pb";

// The session is a cookie of the same origin; nothing here holds a secret.
const transport = createConnectTransport({ baseUrl: "/api", useBinaryFormat: false });

export const agentApi = createClient(AgentService, transport);
export const alertApi = createClient(AlertService, transport);
export const eventApi = createClient(EventService, transport);
export const findingApi = createClient(FindingService, transport);
export const hostApi = createClient(HostService, transport);
export const ledgerApi = createClient(LedgerService, transport);
export const notificationApi = createClient(NotificationService, transport);
export const ruleApi = createClient(RuleService, transport);
export const sessionApi = createClient(SessionService, transport);
export const statusApi = createClient(StatusService, transport);
export const suppressionApi = createClient(SuppressionService, transport);
