import { queryOptions } from "@tanstack/react-query";
import type { Delivery } from "../../gen/assay/console/v1/notification_pb";
import { notificationApi } from "../../lib/api";
import type { Ask } from "../../lib/list";

/** targetsQuery is every notification target, with what became of its messages. */
export const targetsQuery = queryOptions({
  queryKey: ["notification-targets"],
  queryFn: ({ signal }) => notificationApi.listNotificationTargets({}, { signal }),
  refetchInterval: 30_000,
});

export interface DeliveryFilter {
  readonly target?: string | undefined;
  readonly state?: string | undefined;
  readonly alert?: string | undefined;
}

export function deliveriesKey(filter: DeliveryFilter): readonly unknown[] {
  return ["deliveries", filter];
}

/** deliveriesAsk reads the log of deliveries. */
export function deliveriesAsk(filter: DeliveryFilter): Ask<Delivery> {
  return async (page, signal) => {
    const answer = await notificationApi.listDeliveries({ target: filter.target ?? "", state: filter.state ?? "", alert: filter.alert ?? "", page }, { signal });
    return { rows: answer.deliveries, next: answer.nextPageToken, total: answer.total };
  };
}

/** changedDeliveries are the queries to ask again after a test, a retry or a change. */
export const changedDeliveries: readonly (readonly string[])[] = [["notification-targets"], ["deliveries"]];
