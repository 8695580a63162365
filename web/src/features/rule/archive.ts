import { gzipped, tarOf } from "../../lib/tar";

/** Chosen is a file that somebody chose, with its path in the folder if that was chosen. */
export interface Chosen {
  readonly path: string;
  readonly file: Blob;
}

// The server's own bounds, told before anything is read or sent.
const mostFiles = 20_000;
const mostBytes = 64 * 1024 * 1024;
const mostPacked = 16 * 1024 * 1024;

const isYaml = (path: string): boolean => /\.ya?ml$/i.test(path);
const isArchive = (path: string): boolean => /\.(tar\.gz|tgz)$/i.test(path);

/** ArchiveFault is what makes chosen files no archive; nothing was sent. */
export class ArchiveFault extends Error {}

/** archiveOf packs chosen files as the server wants them; one that is packed already goes as it is. */
export async function archiveOf(chosen: readonly Chosen[]): Promise<Uint8Array<ArrayBuffer>> {
  const packed = chosen.filter((one) => isArchive(one.path));
  const [only] = packed;
  if (only !== undefined) {
    if (chosen.length > 1) throw new ArchiveFault(`${only.path} is an archive: choose it alone, or files that are not packed.`);
    return bounded(new Uint8Array(await only.file.arrayBuffer()));
  }
  const files = chosen.filter((one) => isYaml(one.path));
  if (files.length === 0) throw new ArchiveFault("None of the chosen files is YAML (.yml or .yaml) or a .tar.gz of such.");
  if (files.length > mostFiles) throw new ArchiveFault(`${files.length.toLocaleString("en")} YAML files were chosen; a pack holds at most ${mostFiles.toLocaleString("en")}.`);
  const size = files.reduce((sum, one) => sum + one.file.size, 0);
  if (size > mostBytes) throw new ArchiveFault(`The chosen files have ${size.toLocaleString("en")} bytes; a pack holds at most ${mostBytes.toLocaleString("en")}.`);
  return bounded(await gzipped(tarOf(await Promise.all(files.map(async (one) => ({ path: one.path, data: new Uint8Array(await one.file.arrayBuffer()) }))))));
}

function bounded(archive: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (archive.length > mostPacked) throw new ArchiveFault(`The archive has ${archive.length.toLocaleString("en")} bytes; the server takes at most ${mostPacked.toLocaleString("en")}.`);
  return archive;
}
