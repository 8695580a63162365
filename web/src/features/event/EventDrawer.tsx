import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { GetEventResponse } from "../../gen/assay/console/v1/event_pb";
import { CopyLabel } from "../../ui/Copy";
import { Side } from "../../ui/Dialog";
import { Failure, Loading } from "../../ui/Note";
import { Named } from "../../ui/Named";
import { Facts } from "../../ui/Page";
import { Raw } from "../../ui/Raw";
import { Time } from "../../ui/Time";
import css from "./event.module.css";
import { Proof } from "./Proof";
import { eventQuery } from "./queries";

/** EventDrawer shows one event over any page: `name` is position and ordinal, from the address. */
export function EventDrawer({ name }: { readonly name: string }) {
  const navigate = useNavigate();
  const close = (): void => {
    void navigate({ to: ".", search: (old) => ({ ...old, event: undefined }), resetScroll: false });
  };
  const [position, ordinal] = name.split(".");
  return (
    <Side onClose={close} position="right" size={680} title={`Event ${name}`} close="Close the event">
      <Event position={BigInt(position ?? "0")} ordinal={Number(ordinal ?? "0")} />
    </Side>
  );
}

function Event({ position, ordinal }: { readonly position: bigint; readonly ordinal: number }) {
  const query = useQuery(eventQuery(position, ordinal));
  if (query.data !== undefined) return <Content of={query.data} />;
  return query.isError ? <Failure error={query.error} again={() => void query.refetch()} /> : <Loading lines={16} what="event" />;
}

function Content({ of }: { readonly of: GetEventResponse }) {
  return (
    <>
      <Facts
        of={[
          [
            "Host",
            <Link key="host" to="/hosts/$id" params={{ id: of.hostId }} search={{}}>
              <Raw text={of.hostName} />
            </Link>,
          ],
          ["Table", of.table === "" ? "–" : <Link key="table" to="/events" search={{ table: of.table, host: of.hostId }}>{of.table}</Link>],
          ["Source", of.source],
          ["Grade", of.grade === "" ? "–" : of.grade],
          ["Mode", of.mode],
          ["Observed", <Time key="observed" at={of.observedAt} />],
          ["Received", <Time key="received" at={of.receivedAt} />],
        ]}
      />
      <Part title="Raw fields" aside={<CopyLabel value={rawText(of)} what="as JSON" />}>
        <Named of={of.raw} label="Raw fields" />
      </Part>
      <Part title="System fields">
        <Named of={of.system} label="System fields" />
      </Part>
      <Part title="Typed fields">
        <Named of={of.fields} label="Typed fields" />
      </Part>
      {of.batch === undefined ? null : (
        <Part title="Place in the evidence">
          <Proof of={of.batch} />
        </Part>
      )}
    </>
  );
}

function Part({ title, aside, children }: { readonly title: string; readonly aside?: ReactNode; readonly children: ReactNode }) {
  return (
    <section className={css.part}>
      <div className="row" style={{ justifyContent: "space-between" }}>
        <h2>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

// Names may occur twice, so pairs and not an object.
function rawText(of: GetEventResponse): string {
  const pairs = (list: GetEventResponse["raw"]): string[][] => list.map((field) => [field.name, field.value]);
  return JSON.stringify({ position: of.ref?.position.toString(), ordinal: of.ref?.ordinal, system: pairs(of.system), raw: pairs(of.raw), fields: pairs(of.fields) }, null, 2);
}
