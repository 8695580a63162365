import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AsOfSchema, type AsOf } from "../gen/assay/console/v1/common_pb";

/**
 * Moment is what the header's "as of" control chooses: the present, the facts
 * as they stood at an instant, or what was known at a size of the ledger.
 */
export type Moment =
  | { readonly kind: "now" }
  | { readonly kind: "instant"; readonly at: Date }
  | { readonly kind: "tree"; readonly size: bigint };

export const NOW: Moment = { kind: "now" };

const instantPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;
const treePattern = /^tree-([1-9]\d{0,18})$/;

/**
 * parseMoment reads the `at` parameter of an address: an RFC 3339 time with its
 * zone, or `tree-` and a size. Anything else is undefined, never a guess.
 */
export function parseMoment(text: string | undefined): Moment | undefined {
  if (text === undefined || text === "") return NOW;
  const tree = treePattern.exec(text);
  if (tree?.[1] !== undefined) return { kind: "tree", size: BigInt(tree[1]) };
  if (!instantPattern.test(text)) return undefined;
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? undefined : { kind: "instant", at };
}

/** formatMoment is parseMoment's inverse; the present has no parameter. */
export function formatMoment(moment: Moment): string | undefined {
  switch (moment.kind) {
    case "now":
      return undefined;
    case "instant":
      return moment.at.toISOString().replace(/\.000Z$/, "Z");
    case "tree":
      return `tree-${moment.size.toString()}`;
  }
}

/** toAsOf is the moment as the API takes it; undefined asks for the present. */
export function toAsOf(moment: Moment): AsOf | undefined {
  const init: MessageInitShape<typeof AsOfSchema> | undefined =
    moment.kind === "now"
      ? undefined
      : moment.kind === "instant"
        ? { instant: timestampFromDate(moment.at) }
        : { treeSize: moment.size };
  return init === undefined ? undefined : create(AsOfSchema, init);
}
