import { expect, it } from "vitest";
import { agoWords, durationWords } from "./duration";

it.each([
  [0, "under a second"],
  [999, "under a second"],
  [1000, "1 second"],
  [61_000, "1 minute 1 second"],
  [3_600_000, "1 hour"],
  [3_601_000, "1 hour"],
  [93_600_000, "1 day 2 hours"],
  [-7_200_000, "2 hours"],
  [400 * 86_400_000, "1 year 35 days"],
  [Number.NaN, "unknown"],
])("says %d ms as %s", (span, words) => expect(durationWords(span)).toBe(words));

it("places a time beside now", () => {
  const now = new Date(1_000_000_000);
  expect(agoWords(new Date(1_000_000_000 - 5_430_000), now)).toBe("1 hour ago");
  expect(agoWords(new Date(1_000_000_000 + 172_800_000), now)).toBe("in 2 days");
  expect(agoWords(now, now)).toBe("just now");
});
