/** LevelName is how much a detection matters. */
export type LevelName = "critical" | "high" | "medium" | "low" | "informational";

/** levelOrder is the order of display, the highest first. */
export const levelOrder: readonly LevelName[] = ["critical", "high", "medium", "low", "informational"];

export const levelWords: Readonly<Record<LevelName, string>> = { critical: "Critical", high: "High", medium: "Medium", low: "Low", informational: "Info" };

/** parseLevel reads a level of a message; undefined for a rule without one. */
export function parseLevel(text: string): LevelName | undefined {
  return levelOrder.find((name) => name === text);
}

/** levelChoices are what a filter offers: one level, or a level and all above it. */
export const levelChoices = ["critical", "high+", "high", "medium+", "medium", "low", "informational"] as const;
export type LevelChoice = (typeof levelChoices)[number];

/** levelsOf is the levels that a choice means; none means all. */
export function levelsOf(choice: LevelChoice | undefined): LevelName[] {
  if (choice === undefined) return [];
  const name = parseLevel(choice.replace("+", ""));
  if (name === undefined) return [];
  return choice.endsWith("+") ? levelOrder.slice(0, levelOrder.indexOf(name) + 1) : [name];
}

/** levelChoiceWords is a choice in words. */
export function levelChoiceWords(choice: LevelChoice): string {
  const name = parseLevel(choice.replace("+", ""));
  const words = name === undefined ? choice : levelWords[name];
  return choice.endsWith("+") ? `${words} and above` : words;
}

/** levelRank sorts: the higher the level, the higher the number. */
export function levelRank(text: string): number {
  const name = parseLevel(text);
  return name === undefined ? 0 : levelOrder.length - levelOrder.indexOf(name);
}
