/** namesField tells whether a line of YAML is about a field: "Field:" or "Field|contains:". */
export function namesField(line: string, fields: ReadonlySet<string>): boolean {
  const key = /^\s*(?:-\s+)?["']?([^\s"'|:]+)/.exec(line)?.[1];
  return key !== undefined && line.includes(":") && fields.has(key.toLowerCase());
}
