import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, Outlet, redirect, retainSearchParams } from "@tanstack/react-router";
import { sessionQuery } from "../features/session/queries";
import { SignIn } from "../features/session/SignIn";
import { Shell } from "../features/shell/Shell";
import { parseSearch, stringifySearch } from "../lib/search";
import { NotFound, RouteFailure, RoutePending } from "./parts";
import * as search from "./searches";

interface Context {
  readonly queryClient: QueryClient;
}

const root = createRootRouteWithContext<Context>()({
  validateSearch: search.rootSearch,
  search: { middlewares: [retainSearchParams(["at"])] },
  component: Outlet,
  notFoundComponent: NotFound,
});

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: search.signInSearch,
  component: SignIn,
});

// Everything but signing in needs a session.
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    const session = await context.queryClient.query({ ...sessionQuery, staleTime: "static" });
    if (session === null) {
      throw redirect({ to: "/sign-in", search: { to: location.href === "/" ? undefined : location.href } });
    }
  },
});

const index = createRoute({
  getParentRoute: () => app,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/overview" });
  },
});

const overview = createRoute({
  getParentRoute: () => app,
  path: "/overview",
  component: lazyRouteComponent(() => import("../features/overview/OverviewPage"), "OverviewPage"),
});

const controlsIndex = createRoute({
  getParentRoute: () => app,
  path: "/controls",
  component: lazyRouteComponent(() => import("../features/control/FirstFramework"), "FirstFramework"),
});

const controls = createRoute({
  getParentRoute: () => app,
  path: "/controls/$framework",
  validateSearch: search.controlsSearch,
  component: lazyRouteComponent(() => import("../features/control/FrameworkPage"), "FrameworkPage"),
});

const requirement = createRoute({
  getParentRoute: () => app,
  path: "/controls/$framework/$id",
  validateSearch: search.requirementSearch,
  component: lazyRouteComponent(() => import("../features/control/RequirementPage"), "RequirementPage"),
});

const hosts = createRoute({
  getParentRoute: () => app,
  path: "/hosts",
  validateSearch: search.hostsSearch,
  component: lazyRouteComponent(() => import("../features/host/HostsPage"), "HostsPage"),
});

const host = createRoute({
  getParentRoute: () => app,
  path: "/hosts/$id",
  validateSearch: search.hostSearch,
  component: lazyRouteComponent(() => import("../features/host/HostPage"), "HostPage"),
});

const findings = createRoute({
  getParentRoute: () => app,
  path: "/findings",
  validateSearch: search.findingsSearch,
  component: lazyRouteComponent(() => import("../features/finding/FindingsPage"), "FindingsPage"),
});

const finding = createRoute({
  getParentRoute: () => app,
  path: "/findings/$id",
  component: lazyRouteComponent(() => import("../features/finding/FindingPage"), "FindingPage"),
});

const alerts = createRoute({
  getParentRoute: () => app,
  path: "/alerts",
  validateSearch: search.alertsSearch,
  component: lazyRouteComponent(() => import("../features/alert/AlertsPage"), "AlertsPage"),
});

const alert = createRoute({
  getParentRoute: () => app,
  path: "/alerts/$id",
  component: lazyRouteComponent(() => import("../features/alert/AlertPage"), "AlertPage"),
});

const rules = createRoute({
  getParentRoute: () => app,
  path: "/rules",
  validateSearch: search.rulesSearch,
  component: lazyRouteComponent(() => import("../features/rule/RulesPage"), "RulesPage"),
});

// Ids of rules are unique in their pack only.
const rule = createRoute({
  getParentRoute: () => app,
  path: "/rules/$pack/$id",
  validateSearch: search.ruleSearch,
  component: lazyRouteComponent(() => import("../features/rule/RulePage"), "RulePage"),
});

const suppressions = createRoute({
  getParentRoute: () => app,
  path: "/suppressions",
  validateSearch: search.suppressionsSearch,
  component: lazyRouteComponent(() => import("../features/suppression/SuppressionsPage"), "SuppressionsPage"),
});

const reviews = createRoute({
  getParentRoute: () => app,
  path: "/reviews",
  component: lazyRouteComponent(() => import("../features/alert/ReviewsPage"), "ReviewsPage"),
});

const settings = createRoute({
  getParentRoute: () => app,
  path: "/settings",
  beforeLoad: () => {
    throw redirect({ to: "/settings/notifications" });
  },
});

const notifications = createRoute({
  getParentRoute: () => app,
  path: "/settings/notifications",
  validateSearch: search.notificationsSearch,
  component: lazyRouteComponent(() => import("../features/notification/NotificationsPage"), "NotificationsPage"),
});

const events = createRoute({
  getParentRoute: () => app,
  path: "/events",
  validateSearch: search.eventsSearch,
  component: lazyRouteComponent(() => import("../features/event/EventsPage"), "EventsPage"),
});

const agents = createRoute({
  getParentRoute: () => app,
  path: "/agents",
  validateSearch: search.agentsSearch,
  component: lazyRouteComponent(() => import("../features/agent/AgentsPage"), "AgentsPage"),
});

const ledger = createRoute({
  getParentRoute: () => app,
  path: "/ledger",
  validateSearch: search.ledgerSearch,
  component: lazyRouteComponent(() => import("../features/ledger/LedgerPage"), "LedgerPage"),
});

const tree = root.addChildren([
  signIn,
  app.addChildren([index, overview, controlsIndex, controls, requirement, hosts, host, findings, finding, alerts, alert, rules, rule, suppressions, reviews, events, agents, ledger, settings, notifications]),
]);

/** newRouter builds the console's routes over one query client. */
export function newRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    parseSearch,
    stringifySearch,
    defaultPreload: "intent",
    scrollRestoration: true,
    defaultErrorComponent: RouteFailure,
    defaultPendingComponent: RoutePending,
    defaultNotFoundComponent: NotFound,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof newRouter>;
  }
}
