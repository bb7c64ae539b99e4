// Writes and reads an exported agent as a .tar.gz archive.

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { CliError } from "../errors.ts";

/** A bundle in a .tar.gz: `agent.json` first, then `assets/<bucket>/<path>`. */
const DOCUMENT = "agent.json";
const ASSETS = "assets/";
/** What an imported archive may hold unpacked: some bytes of gzip can become terabytes. */
const MOST_BYTES = 2 * 1024 ** 3;
const MOST_DOCUMENT = 16 * 1024 ** 2;

/** A file of an agent, with its bytes. */
export interface Asset {
  bucket: string;
  path: string;
  content: Buffer;
}

/**
 * Writes an archive beside its place and moves it there when it is whole.
 * @param file where to
 * @param document agent.json
 * @param assets read one after the other, so that one at a time is in memory
 */
export async function writeArchive(
  file: string,
  document: string,
  assets: AsyncIterable<Asset>,
): Promise<void> {
  const { pack } = await import("tar-stream");
  const archive = pack();
  const fresh = `${file}.${process.pid}.part`;
  const written = pipeline(archive, createGzip(), createWriteStream(fresh, { mode: 0o600 }));
  let unwritable: unknown;
  written.catch((error: unknown) => {
    unwritable = error;
    archive.destroy(); // whoever fills it must not wait for a disk that is full
  });
  try {
    archive.entry({ name: DOCUMENT }, document);
    for await (const { bucket, path, content } of assets) {
      const entry = archive.entry({ name: `${ASSETS}${bucket}/${path}`, size: content.length });
      entry.end(content);
      if (content.length > 0) await Promise.race([once(entry, "finish"), written]);
    }
    archive.finalize();
    await written;
    await rename(fresh, file);
  } catch (error) {
    const cause = unwritable ?? error; // an archive that was given up says only that
    archive.destroy();
    await written.catch(() => {});
    await rm(fresh, { force: true });
    throw cause;
  }
}

/**
 * Reads an archive: the document first, then each asset as it comes.
 * @param data the file's bytes
 * @param onDocument told of agent.json, before any asset
 * @param onAsset told of each asset; the next is read when it is done
 * @throws CliError when it is no archive of an agent
 */
export async function readArchive(
  data: Uint8Array,
  onDocument: (text: string) => Promise<void>,
  onAsset: (asset: Asset) => Promise<void>,
): Promise<void> {
  const { extract } = await import("tar-stream");
  const entries = extract();
  const reading = pipeline(Readable.from([data]), createGunzip(), entries);
  reading.catch(() => {}); // shows in the loop too
  let documents = 0;
  let total = 0;
  for await (const entry of entries) {
    const { name, type, size = 0 } = entry.header;
    total += size;
    if (total > MOST_BYTES || (name === DOCUMENT && size > MOST_DOCUMENT)) throw notOurs("it is too large");
    const content = Buffer.concat(await Array.fromAsync(entry as AsyncIterable<Buffer>));
    if (type !== "file") continue;
    if (name === DOCUMENT) {
      documents += 1;
      await onDocument(content.toString("utf8"));
    } else if (name.startsWith(ASSETS)) {
      if (documents === 0) throw notOurs(`${DOCUMENT} is not its first file`);
      const [bucket = "", ...path] = name.slice(ASSETS.length).split("/");
      await onAsset({ bucket, path: path.join("/"), content });
    }
  }
  await reading;
  if (documents === 0) throw notOurs(`it has no ${DOCUMENT}`);
}

const notOurs = (why: string) =>
  new CliError("invalid", `This is not an archive of \`launchpad export\`: ${why}.`, { code: "BAD_FILE" });
