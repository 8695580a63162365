import type { Review } from "../../gen/assay/console/v1/alert_pb";
import { dateOf } from "../../lib/time";

/** longestPeriod is what may lie between two reviews before the check alert.reviewed fails. */
export const longestPeriod = 36 * 3_600_000;

/** Period is a review with the time that it looks back on: from the review before it. */
export interface Period {
  readonly review: Review;
  /** from is undefined for the first review, or where the one before is not read yet. */
  readonly from: Date | undefined;
  readonly late: boolean;
}

/** periodsOf gives reviews, newest first, the times that they look back on. */
export function periodsOf(reviews: readonly Review[]): Period[] {
  return reviews.map((review, i) => {
    const at = dateOf(review.at);
    const from = dateOf(reviews[i + 1]?.at);
    return { review, from, late: at !== undefined && from !== undefined && at.getTime() - from.getTime() > longestPeriod };
  });
}
