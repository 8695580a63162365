import { setTimeout as wait } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { LedgerService } from "../../src/gen/assay/console/v1/ledger_pb";
import { at, hour } from "./fleet";
import { checkpoint, treeSize } from "./tree";
import { fleetOf, mustBeAdmin } from "./variant";

const report = () => ({ startedAt: at(5 * hour + 40_000), finishedAt: at(5 * hour), size: BigInt(treeSize), good: true, problems: [], batches: 4101n, events: 1_922_771n });

export const ledgerService: ServiceImpl<typeof LedgerService> = {
  getLedger(_, context) {
    const { empty } = fleetOf(context);
    if (empty) return { size: 0n };
    return { size: BigInt(treeSize), checkpoint, checkpointSize: BigInt(treeSize), checkpointAt: at(2_000), lastVerification: report(), witnessed: false };
  },
  listCheckpoints: () => ({ checkpoints: [] }),
  cosign() {
    throw new ConnectError("only agents cosign", Code.PermissionDenied);
  },
  async *verify(_, context) {
    mustBeAdmin(context);
    const size = BigInt(treeSize);
    for (let i = 0n; i <= 4n; i++) {
      yield { checked: (size * i) / 4n, size };
      await wait(120);
    }
    yield { checked: size, size, report: report() };
  },
};
