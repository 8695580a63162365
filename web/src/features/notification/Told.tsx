import { Link } from "@tanstack/react-router";
import { Empty } from "../../ui/Note";
import { Section } from "../../ui/Page";
import { Deliveries } from "./Deliveries";

/** Told lists to whom an alert was told, and whether it arrived. */
export function Told({ alert }: { readonly alert: string }) {
  return (
    <Section title="Told to" aside={<Link to="/settings/notifications">notification targets</Link>} flush>
      <Deliveries filter={{ alert }} empty={<Empty title="Told to nobody">No notification target is told of alerts of this level, or none is set up.</Empty>} />
    </Section>
  );
}
