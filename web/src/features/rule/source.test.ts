import { expect, it } from "vitest";
import { namesField } from "./source";

it("finds the lines of YAML that are about a field", () => {
  const fields = new Set(["commandline", "image"]);
  for (const line of ["    CommandLine|contains:", "  - Image|endswith: '\\cmd.exe'", "Image: x", "  'Image': x"]) expect(namesField(line, fields), line).toBe(true);
  for (const line of ["    ParentImage: x", "description: about CommandLine", "      - CommandLine", "", "    - 'x:y'"]) expect(namesField(line, fields), line).toBe(false);
});
