// Where agents' pods fetch their plugins: one agent, one set, by a key that the controller gave this agent for this set. Any
// controller of the installation serves any set: what it has not, it fetches first, and says so meanwhile.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { ARCHIVE } from "@agent-launchpad/agent-runtime";
import { errorMessage, type Log } from "../log.ts";
import type { PluginDatabase } from "./database.ts";
import { explainNpm } from "./resolve.ts";
import type { SetStore } from "./set-store.ts";

export interface SetServerOptions {
  /** What keys are made of; the same for all controllers of an installation. */
  secret: string;
  store: Pick<SetStore, "lockOf" | "archiveOf" | "provide" | "progress">;
  database: Pick<PluginDatabase, "tree">;
  log: Log;
}

/** Shorter than the runtime's own patience for one archive. */
const SILENCE_MS = 30_000;
const MOST_CONNECTIONS = 512;
/** After a failure the registry rests for so long, however many pods ask. */
const REST_MS = 5000;

interface State {
  /** The last failure of a set, and until when nothing is tried. */
  failed: Map<string, { message: string; until: number }>;
  /** Sets that are being fetched because a pod asked. */
  asked: Set<string>;
}

const PATH = /^\/agents\/([\w-]{1,100})\/sets\/([0-9a-f]{64})(?:\/([\w-]+))?$/;

/**
 * What an agent's pods fetch a set with. It names both: with it nothing else can be fetched, by nobody else's agent. It does not
 * expire, because pods start again at any time without the controller; it opens nothing that the agent does not have anyway.
 */
export function setKey(secret: string, agentId: string, set: string): string {
  return createHmac("sha256", secret).update(`plugins of ${agentId}: ${set}`).digest("hex");
}

/** The server; whoever makes it listens and closes. */
export function createSetServer(options: SetServerOptions): Server {
  const state: State = { failed: new Map(), asked: new Set() };
  const server = createServer((request, response) => {
    serve(options, state, request, response).catch((error: unknown) => {
      // A pod that goes while it fetches is nobody's fault.
      if (!response.headersSent) refuse(response, 500, "The plugins could not be read.");
      response.destroy();
      options.log.debug("a pod could not be served its plugins", { error: errorMessage(error) });
    });
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 5000;
  server.maxConnections = MOST_CONNECTIONS;
  server.setTimeout(SILENCE_MS);
  return server;
}

async function serve(
  options: SetServerOptions,
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { log, secret, store } = options;
  request.resume();
  const [, agentId, set, archive] = PATH.exec(request.url ?? "") ?? [];
  if (agentId === undefined || set === undefined) return refuse(response, 404, "Not found.");
  if (request.method !== "GET") return refuse(response, 405, "Use GET.");
  if (!isKey(setKey(secret, agentId, set), request.headers.authorization)) {
    log.warn("a fetch of plugins was refused: its key is not the agent's", { agentId });
    return refuse(response, 401, "The key is not the one of this agent and set.");
  }
  if (archive === undefined) {
    const lock = await store.lockOf(set);
    if (lock === undefined) return wait(options, state, set, response);
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(lock),
    });
    response.end(lock);
    return;
  }
  const file = ARCHIVE.test(archive) ? await store.archiveOf(set, archive) : null;
  if (file === null) return refuse(response, 404, "The set has no such archive.");
  if (file === undefined) return wait(options, state, set, response);
  const { size } = await stat(file);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": size });
  await pipeline(createReadStream(file), response);
}

/** Begins to provide the set, and says when to ask again. */
function wait(
  { database, log, store }: SetServerOptions,
  state: State,
  set: string,
  response: ServerResponse,
): void {
  const { asked, failed } = state;
  const before = failed.get(set);
  if (!asked.has(set) && (before === undefined || before.until < Date.now())) {
    asked.add(set);
    store
      .provide(set, () => database.tree(set))
      .then(
        () => failed.delete(set),
        (error: unknown) => {
          const { message } = explainNpm(error, "The plugins");
          failed.set(set, { message, until: Date.now() + REST_MS });
          log.warn("plugins that a pod asked for could not be downloaded", { tree: set, error: message });
        },
      )
      .finally(() => asked.delete(set));
  }
  const message = before?.message ?? store.progress(set) ?? "The plugins are being downloaded.";
  response.setHeader("retry-after", before === undefined ? 1 : REST_MS / 1000);
  // "On its way" may last as long as it takes; a failure counts against the pod's patience, also while it is tried again.
  refuse(response, 503, message, before === undefined ? "INSTALLING" : "PLUGIN_INSTALL_FAILED");
}

function isKey(expected: string, header: string | undefined): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(`Bearer ${expected}`), digest(header ?? ""));
}

function refuse(response: ServerResponse, status: number, message: string, reason?: string): void {
  const usual = { 401: "INVALID_API_KEY", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED" }[status];
  const code = reason ?? usual ?? "INTERNAL_ERROR";
  const text = JSON.stringify({ error: { code, message } });
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}
