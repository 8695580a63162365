/** Enrolment is what a new agent needs. */
export interface Enrolment {
  readonly server: string;
  readonly caHash: string;
}

/**
 * enrolCommand is run on the host beside the saved token file. The secret is
 * read from the file: on the command line it would be recorded by the very
 * telemetry that the agent sends.
 */
export function enrolCommand(of: Enrolment, file = "assay-token.txt"): string {
  return `assay-agent.exe enrol --server ${quoted(of.server)} --ca-hash ${quoted(of.caHash)} --token-file ${quoted(file)}`;
}

// What is not plainly a host name, a hash or a path is quoted, so that no part of
// it can be read as another argument.
function quoted(text: string): string {
  return /^[A-Za-z0-9._:[\]/+=-]+$/.test(text) && !text.startsWith("-") ? text : `"${text.replaceAll('"', "")}"`;
}
