import { expect, it } from "vitest";
import { enrolCommand } from "./command";

it("names the server, the CA and the file, never the secret", () => {
  expect(enrolCommand({ server: "assay.example:8443", caHash: "ab12" })).toBe("assay-agent.exe enrol --server assay.example:8443 --ca-hash ab12 --token-file assay-token.txt");
});

it("keeps a strange answer within its argument", () => {
  expect(enrolCommand({ server: "a & calc", caHash: '--x" --y' })).toBe('assay-agent.exe enrol --server "a & calc" --ca-hash "--x --y" --token-file assay-token.txt');
});
