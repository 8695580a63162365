import { Code, ConnectError } from "@connectrpc/connect";

/** Fault says what went wrong and what the reader can do about it. */
export interface Fault {
  readonly title: string;
  readonly advice: string;
  /** detail is the server's own sentence; undefined where there is none. */
  readonly detail: string | undefined;
}

const words: Partial<Record<Code, readonly [title: string, advice: string]>> = {
  [Code.InvalidArgument]: ["The server did not accept this", "Change what it names below and send it again."],
  [Code.FailedPrecondition]: ["This cannot be done now", "Read the reason below, then try again."],
  [Code.OutOfRange]: ["That lies outside what is recorded", "Choose an earlier or a later moment."],
  [Code.NotFound]: ["Not found", "It may have been named wrongly, or it did not exist at the chosen moment."],
  [Code.PermissionDenied]: ["Your role does not allow this", "Ask an administrator of Assay to do it or to change your role."],
  [Code.Unauthenticated]: ["You are signed out", "Sign in again; you will come back here."],
  [Code.ResourceExhausted]: ["Too many questions at once", "Wait a few seconds and try again, or narrow the filter."],
  [Code.DeadlineExceeded]: ["The answer took too long", "Narrow the time range or the filter and try again."],
  [Code.Unavailable]: ["The server cannot answer now", "Try again in a minute. If it stays so, check that assay-server and its database are well."],
  [Code.Unimplemented]: ["This server does not know this question", "The console may be newer than the server: update the server."],
  [Code.Canceled]: ["The question was withdrawn", "Try again."],
  [Code.Aborted]: ["Somebody else changed this at the same time", "Look at it afresh and try again."],
};

/** describeFault turns any thrown value into words. */
export function describeFault(thrown: unknown): Fault {
  const error = ConnectError.from(thrown);
  const known = words[error.code];
  // No answer at all: fetch itself failed.
  const network = thrown instanceof TypeError || error.cause instanceof TypeError;
  const [title, advice] = network
    ? ["The server cannot be reached", "Check the network, and that assay-server runs; then try again."]
    : (known ?? ["The server failed to answer", "Try again. If it happens again, look at the server's log at this time."]);
  const detail = error.rawMessage.trim();
  return { title, advice, detail: detail === "" || network ? undefined : detail };
}

/** isCode tells whether an error of the API has this code. */
export function isCode(thrown: unknown, code: Code): boolean {
  return thrown instanceof ConnectError && thrown.code === code;
}

/** worthRetrying is true for what may pass by itself. */
export function worthRetrying(thrown: unknown): boolean {
  if (!(thrown instanceof ConnectError)) return true;
  return [Code.Unavailable, Code.Aborted, Code.Unknown].includes(thrown.code);
}
