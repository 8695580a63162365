import { queryOptions } from "@tanstack/react-query";
import type { Alert, Detection, Review } from "../../gen/assay/console/v1/alert_pb";
import type { AsOf } from "../../gen/assay/console/v1/common_pb";
import { alertApi } from "../../lib/api";
import type { Ask } from "../../lib/list";

export interface AlertFilter {
  readonly states?: readonly string[];
  readonly levels?: readonly string[];
  readonly host?: string | undefined;
  readonly pack?: string | undefined;
  readonly rule?: string | undefined;
  readonly assignee?: string | undefined;
  readonly overdue?: boolean;
  readonly text?: string | undefined;
  readonly order?: string | undefined;
}

interface Moment {
  readonly asOf: AsOf | undefined;
  readonly key: string;
}

/** unclosed are the states of alerts that still call for somebody. */
export const unclosed = ["open", "acknowledged"] as const;

export function alertsKey(filter: AlertFilter, moment: Moment): readonly unknown[] {
  return ["alerts", filter, moment.key];
}

/** alertsAsk reads the list of alerts. */
export function alertsAsk(filter: AlertFilter, moment: Moment): Ask<Alert> {
  return async (page, signal) => {
    const answer = await alertApi.listAlerts(
      {
        states: [...(filter.states ?? [])],
        levels: [...(filter.levels ?? [])],
        host: filter.host ?? "",
        pack: filter.pack ?? "",
        rule: filter.rule ?? "",
        assignee: filter.assignee ?? "",
        overdue: filter.overdue ?? false,
        text: filter.text ?? "",
        order: filter.order ?? "",
        asOf: moment.asOf,
        page,
      },
      { signal },
    );
    return { rows: answer.alerts, next: answer.nextPageToken, total: answer.total };
  };
}

/** alertQuery is one alert with its history and its rule. */
export function alertQuery(id: string, moment: Moment) {
  return queryOptions({
    queryKey: ["alert", id, moment.key],
    queryFn: ({ signal }) => alertApi.getAlert({ id, asOf: moment.asOf }, { signal }),
  });
}

/** alertCountsQuery counts alerts; the present is asked for again each minute. */
export function alertCountsQuery(moment: Moment) {
  return queryOptions({
    queryKey: ["alert-counts", moment.key],
    queryFn: ({ signal }) => alertApi.countAlerts({ asOf: moment.asOf }, { signal }),
    refetchInterval: moment.key === "now" ? 60_000 : false,
  });
}

/** alertPolicyQuery is how soon alerts must be seen to. */
export const alertPolicyQuery = queryOptions({
  queryKey: ["alert-policy"],
  queryFn: ({ signal }) => alertApi.getAlertPolicy({}, { signal }),
});

export const reviewsKey = ["reviews"] as const;

/** reviewsAsk reads who went through alerts and logs, newest first. */
export const reviewsAsk: Ask<Review> = async (page, signal) => {
  const answer = await alertApi.listReviews({ page }, { signal });
  return { rows: answer.reviews, next: answer.nextPageToken, total: answer.total };
};

export interface DetectionFilter {
  readonly alert?: string;
  readonly pack?: string;
  readonly rule?: string;
  /** suppressed is "yes", "no" or undefined for both. */
  readonly suppressed?: string | undefined;
}

export function detectionsKey(filter: DetectionFilter): readonly unknown[] {
  return ["detections", filter];
}

/** detectionsAsk reads the matches of an alert or of a rule, newest first. */
export function detectionsAsk(filter: DetectionFilter): Ask<Detection> {
  return async (page, signal) => {
    const answer = await alertApi.listDetections({ alert: filter.alert ?? "", pack: filter.pack ?? "", rule: filter.rule ?? "", suppressed: filter.suppressed ?? "", page }, { signal });
    return { rows: answer.detections, next: answer.nextPageToken, total: answer.total };
  };
}

/** changedAlerts are the queries to ask again after somebody did something to alerts. */
export const changedAlerts: readonly (readonly string[])[] = [["alerts"], ["alert"], ["alert-counts"], ["detections"]];
