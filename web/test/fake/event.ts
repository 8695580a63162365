import { createHash } from "node:crypto";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { EventService } from "../../src/gen/assay/console/v1/event_pb";
import { at, page, pick, started } from "./fleet";
import { checkpoint, inclusion, leafHash, treeSize } from "./tree";
import { fleetOf } from "./variant";

const hex = (...words: (string | number)[]): string => createHash("sha256").update(words.join(" ")).digest("hex");

const tables = [
  {
    name: "process",
    description: "Starts and ends of processes",
    events: 812_331n,
    columns: [
      { name: "observed_at", type: "time", description: "When the source saw it" },
      { name: "image", type: "text", description: "Path of the program" },
      { name: "command_line", type: "text", description: "As its source gives it" },
      { name: "user_name", type: "text", description: "Account it runs as" },
      { name: "pid", type: "integer", description: "Number of the process" },
      { name: "grade", type: "text", description: "Grade of the source" },
    ],
  },
  {
    name: "log_record",
    description: "Records with no table of their own",
    events: 502_118n,
    columns: [
      { name: "observed_at", type: "time", description: "When the source saw it" },
      { name: "channel", type: "text", description: "Channel of the event log" },
      { name: "event_id", type: "integer", description: "Number of the event" },
      { name: "provider", type: "text", description: "Who wrote it" },
    ],
  },
  { name: "dns", description: "Names resolved", events: 0n, columns: [{ name: "observed_at", type: "time", description: "" }, { name: "query", type: "text", description: "" }] },
];

const programs = ["C:\\Windows\\System32\\svchost.exe", "C:\\Windows\\System32\\cmd.exe", "C:\\Users\\Public\\inv\u202efdp.exe", "C:\\Program Files\\POS\\till.exe"];

function values(table: string, index: number): string[] {
  const time = new Date(started.getTime() - index * 9_000).toISOString();
  const image = programs[pick(4, table, index)] ?? "";
  if (table === "process") return [time, image, `"${image}" /c =1+1 -k ${"x".repeat(pick(90, index))}`, "NT AUTHORITY\\SYSTEM", String(400 + index * 4), "B"];
  if (table === "log_record") return [time, "Security", ["4624", "4634", "1102"][index % 3] ?? "", "Microsoft-Windows-Security-Auditing"];
  return [];
}

export const eventService: ServiceImpl<typeof EventService> = {
  listTables(_, context) {
    const { empty } = fleetOf(context);
    return { tables: empty ? tables.map((table) => ({ ...table, events: 0n })) : tables };
  },
  listEvents(request, context) {
    const { hosts } = fleetOf(context);
    const table = tables.find((one) => one.name === request.table);
    if (table === undefined) throw new ConnectError(`no table ${request.table}`, Code.InvalidArgument);
    const columns = table.columns.map((column) => column.name);
    for (const condition of request.conditions) {
      if (!columns.includes(condition.column)) throw new ConnectError(`no column ${condition.column}`, Code.InvalidArgument);
    }
    const seen = hosts.filter((host) => request.host === "" || host.id === request.host);
    const count = seen.length === 0 || table.events === 0n ? 0 : 900;
    const rows = Array.from({ length: count }, (_, i) => ({ i, values: values(table.name, i), host: seen[i % seen.length] })).filter((row) =>
      request.conditions.every((condition) => {
        const value = row.values[columns.indexOf(condition.column)] ?? "";
        if (condition.op === "contains") return value.includes(condition.value);
        if (condition.op === "starts_with") return value.startsWith(condition.value);
        return condition.op === "!=" ? value !== condition.value : value === condition.value;
      }),
    );
    const cut = page(rows, request.page);
    return {
      columns,
      rows: cut.rows.map((row) => ({ ref: { position: BigInt(treeSize - 1 - Math.floor(row.i / 5)), ordinal: row.i % 5 }, hostName: row.host?.name ?? "", values: row.values })),
      nextPageToken: cut.next,
    };
  },
  getEvent(request, context) {
    const { hosts } = fleetOf(context);
    const position = Number(request.ref?.position ?? 0n);
    const ordinal = request.ref?.ordinal ?? 0;
    const host = hosts[pick(Math.max(1, hosts.length), position)];
    if (position >= treeSize || ordinal > 4 || host === undefined) throw new ConnectError(`no batch at position ${position}`, Code.NotFound);
    const covered = position < treeSize - 2;
    return {
      ref: { position: BigInt(position), ordinal },
      hostId: host.id,
      hostName: host.name,
      table: "process",
      source: "winevent",
      grade: "B",
      mode: "live",
      observedAt: at((treeSize - position) * 45_000),
      receivedAt: timestampFromDate(new Date(timestampDate(at((treeSize - position) * 45_000)).getTime() + 1_700)),
      fields: [
        { name: "image", value: programs[pick(4, position)] ?? "" },
        { name: "command_line", value: "cmd.exe /c start inv\u202efdp.exe\u0007" },
        { name: "user_name", value: "NT AUTHORITY\\SYSTEM" },
        { name: "pid", value: "4412" },
        { name: "parent_image", value: "C:\\Windows\\explorer.exe" },
      ],
      system: [
        { name: "Provider", value: "Microsoft-Windows-Sysmon" },
        { name: "EventID", value: "1" },
        { name: "EventRecordID", value: String(900_000 + position) },
        { name: "Channel", value: "Microsoft-Windows-Sysmon/Operational" },
        { name: "Computer", value: host.name },
      ],
      raw: [
        { name: "RuleName", value: "-" },
        { name: "UtcTime", value: "2026-11-22 18:20:11.512" },
        { name: "ProcessGuid", value: "{b3c2d1a0-7e1f-6740-5b01-000000001200}" },
        { name: "Image", value: programs[pick(4, position)] ?? "" },
        { name: "CommandLine", value: "cmd.exe /c start inv\u202efdp.exe\u0007\r\nsecond line" },
        { name: "Hashes", value: `SHA256=${hex("image", position).toUpperCase()}` },
        { name: "ParentCommandLine", value: "" },
      ],
      batch: {
        position: BigInt(position),
        streamId: `${host.id.slice(0, 23)}-bulk`,
        streamKind: "bulk",
        epoch: 1,
        number: BigInt(position + 12),
        headerHash: hex("header", position),
        previousHash: hex("header", position - 1),
        payloadSha256: hex("payload", position),
        commitment: hex("commitment", position, ordinal),
        commitmentRoot: hex("root", position),
        signed: position % 3 === 0,
        eventCount: 5,
        checkpointSize: covered ? BigInt(treeSize) : 0n,
        checkpointNote: covered ? checkpoint : "",
        inclusionProof: covered ? inclusion(position) : [],
        leafHash: leafHash(position),
      },
    };
  },
};
