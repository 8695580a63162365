import { Link } from "@tanstack/react-router";
import type { Evaluated } from "../gen/assay/console/v1/common_pb";
import { Time } from "./Time";

/** Evaluation says what the verdicts of a page rest on. */
export function Evaluation({ of }: { readonly of: Evaluated | undefined }) {
  if (of === undefined) return null;
  return (
    <span>
      Judged for <Time at={of.instant} />
      {of.watermark === undefined ? null : (
        <>
          , on telemetry up to <Time at={of.watermark} />
        </>
      )}
      , ledger size{" "}
      <Link to="/ledger" className="num">
        {of.treeSize.toLocaleString("en")}
      </Link>
    </span>
  );
}
