/** ceilingWords says what the best is that telemetry can say of a requirement. */
export function ceilingWords(ceiling: string): readonly [short: string, long: string] {
  switch (ceiling) {
    case "A":
      return ["Decidable", "Telemetry can decide this: pass or fail."];
    case "P":
      return ["Partial", "Telemetry speaks for part of this. A pass says that no violation was seen, no more."];
    case "S":
      return ["Own records", "Decided by what Assay records about itself."];
    case "M":
      return ["Manual", "No telemetry speaks for this: people decide it."];
    default:
      return [ceiling === "" ? "Not stated" : ceiling, "This console does not know this ceiling."];
  }
}

/** gradeWords says what a grade is, for a hover text. */
export function gradeWords(grade: string): string {
  return grade === "" ? "No evidence, so no grade" : `Grade ${grade}, the lowest among what this rests on`;
}

/** reasonWords turns a reason code into words. */
export function reasonWords(reason: string): string {
  return reason.replaceAll("_", " ");
}

/** percent shows a share so that 100 % is never rounded up to. */
export function percent(share: number): string {
  const cut = Math.floor(share * 1000) / 10;
  return `${cut.toLocaleString("en", { maximumFractionDigits: 1 })} %`;
}
