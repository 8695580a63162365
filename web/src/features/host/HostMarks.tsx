import type { Host } from "../../gen/assay/console/v1/host_pb";
import { Tag } from "../../ui/Page";

/** HostMarks says what must be known of a host before its verdicts are read. */
export function HostMarks({ of }: { readonly of: Host }) {
  return (
    <>
      {of.silent ? (
        <Tag warn title="Nothing came from this host lately: its verdicts are unknown">
          silent
        </Tag>
      ) : null}
      {of.simulated ? (
        <Tag warn title="Made up by the fleet simulator, no real machine">
          simulated
        </Tag>
      ) : null}
      {of.kind === "imported" ? <Tag title="Known from exported logs only, judged as of its last event">imported</Tag> : null}
    </>
  );
}
