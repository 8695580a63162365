import { setTimeout as wait } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { LedgerService } from "../../src/gen/assay/console/v1/ledger_pb";
import { at, hour } from "./fleet";
import { checkpoint, treeSize } from "./tree";
import { fleetOf, mustBeAdmin } from "./variant";

const report = () => ({ startedAt: at(5 * hour + 40_000), finishedAt: at(5 * hour), size: BigInt(treeSize), good: true, problems: [], batches: 4101n, events: 1_922_771n });

const vouching = () => ({
  witnessed: true,
  witnesses: [
    { name: "witness.auditor.example", key: "witness.auditor.example+ffeeddcc+BA", size: BigInt(treeSize - 3), signedAt: at(40_000), configured: true },
    { name: "old.example", key: "old.example+00112233+BA", size: 900n, signedAt: at(90 * 24 * hour), configured: false },
    { name: "silent.example", key: "silent.example+00112244+BA", url: "https://silent.example", configured: true },
  ],
  hosts: 25n,
  cosignedHosts: 23n,
  cosignedSize: BigInt(treeSize - 5),
  timeStamps: [{ authority: "https://tsa.example", size: BigInt(treeSize - 900), stampedAt: at(7 * hour) }],
});

const zeroRoot = `${"A".repeat(43)}=`;
const keys = [
  { position: 0n, key: "assay.example/first+1f2e3d4c+AQ0000000000000000000000000000000000000000000" },
  { position: 410n, key: "assay.example/first+2f2e3d4c+AQ1111111111111111111111111111111111111111111", rotation: "assay/key-rotation/v1\n" },
  {
    position: 2_070n,
    key: "assay.example/ledger+3f2e3d4c+AQ2222222222222222222222222222222222222222222",
    succession: `assay/succession/v1\nassay.example/first+2f2e3d4c+AQ\nassay.example/ledger+3f2e3d4c+AQ\n17640000000000000\nheld 2513 ${zeroRoot}\nkept 2068 ${zeroRoot}\n\n— assay.example/first AAAA\n`,
  },
];
const lost = [{ hostId: "5a1e0000-0000-8000-8000-000000000001", agentId: "5a1e0000-0000-8000-8000-0000000000aa", streamId: "5a1e0000-0000-8000-8000-0000000000bb", epoch: 2, fromNumber: 7n, toNumber: 378n }];

export const ledgerService: ServiceImpl<typeof LedgerService> = {
  getLedger(_, context) {
    const { empty } = fleetOf(context);
    if (empty) return { size: 0n };
    return {
      size: BigInt(treeSize), checkpoint, checkpointSize: BigInt(treeSize), checkpointAt: at(2_000), lastVerification: report(), ...vouching(), keys, lost,
    };
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
