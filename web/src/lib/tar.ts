/** TarFile is one file of an archive. */
export interface TarFile {
  readonly path: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

const block = 512;
const encoder = new TextEncoder();

/** octal writes a number as tar wants it: padded with zeros and ended by a NUL. */
const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;

/** header is the 512 bytes before a file's own. */
function header(name: Uint8Array, size: number, type: "0" | "x"): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(block);
  const put = (at: number, text: string): void => out.set(encoder.encode(text), at);
  out.set(name.subarray(0, 100), 0);
  put(100, octal(0o644, 8));
  put(108, octal(0, 8));
  put(116, octal(0, 8));
  put(124, octal(size, 12));
  put(136, octal(0, 12));
  // The checksum is counted with spaces where it will stand.
  put(148, "        ");
  put(156, type);
  put(257, "ustar\0");
  put(263, "00");
  put(148, `${out.reduce((sum, one) => sum + one, 0).toString(8).padStart(6, "0")}\0 `);
  return out;
}

/** padding fills a file up to whole blocks. */
function padding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((block - (size % block)) % block);
}

/** longName says in a record of its own what does not fit in a header: its length counts itself. */
function longName(path: string): Uint8Array<ArrayBuffer> {
  const body = encoder.encode(` path=${path}\n`);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return encoder.encode(`${length} path=${path}\n`);
}

/** tarOf makes an archive of files, in the order of their names: the same files make the same archive. */
export function tarOf(files: readonly TarFile[]): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const put = (name: Uint8Array, data: Uint8Array<ArrayBuffer>, type: "0" | "x"): void => {
    parts.push(header(name, data.length, type), data, padding(data.length));
  };
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))) {
    const name = encoder.encode(file.path);
    if (name.length > 100 || name.length !== file.path.length) put(encoder.encode("path"), longName(file.path), "x");
    put(name, file.data, "0");
  }
  parts.push(new Uint8Array(2 * block));
  return new Blob(parts);
}

/** gzipped compresses with what the browser has. */
export async function gzipped(of: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(of.stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer());
}
