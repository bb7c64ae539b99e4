// Where this agent's requests may go: fetch connects to public addresses alone, and to the hosts that the operator names.
// Every address variable of every SDK and plugin ends in fetch, and so does every redirect.
import { connect, isIP, type LookupFunction, type Socket } from "node:net";
import {
  AddressError,
  type AddressRule,
  allowedAddresses,
} from "../../../../supabase/functions/_shared/addresses.ts";

const CONNECT_MS = 10_000;

/** What undici gives a connector, and expects of it. */
interface Target {
  readonly hostname: string;
  readonly port: string;
  readonly protocol: string;
  readonly servername: string | null;
}
type Connected = (error: Error | null, socket: Socket | null) => void;
type Pool = new (options: { connect(target: Target, done: Connected): void }) => object;

/** Node keeps the pool of its fetch here, and with it the class that pools are made of. */
const OWN_POOL = Symbol.for("undici.globalDispatcher.1");

/**
 * Guards the process's fetch. Names are resolved and judged for each connection, which then goes to what was judged.
 * A caller that brings its own dispatcher keeps it: that is a plugin's code, not an address somebody wrote.
 */
export function guardFetch(rule: AddressRule): void {
  const plain = globalThis.fetch;
  let dispatcher: object | undefined;
  globalThis.fetch = (input, init) => {
    // Not before the first request: Node's fetch costs 17 MB, and most agents of a stack are idle.
    dispatcher ??= createDispatcher(rule);
    const guarded: RequestInit & { dispatcher?: object } = { dispatcher, ...init };
    return plain(input, guarded);
  };
}

function createDispatcher(rule: AddressRule): object {
  void globalThis.Headers; // loads it
  const pool = (globalThis as unknown as Record<symbol, object | undefined>)[OWN_POOL];
  if (pool === undefined) throw new Error("This version of Node keeps the pool of its fetch elsewhere.");
  return new (pool.constructor as Pool)({
    connect(target, done) {
      open(target, rule).then(
        (socket) => done(null, socket),
        (error: Error) => done(error, null),
      );
    },
  });
}

/** Connects to a host by the addresses that were judged. Rejects with an AddressError, or why no connection came about. */
async function open({ hostname, port, protocol, servername }: Target, rule: AddressRule): Promise<Socket> {
  const secure = protocol === "https:";
  const name = hostname.replace(/^\[|\]$/g, "");
  const number = Number(port) || (secure ? 443 : 80);
  const judged = (await allowedAddresses(name, number, rule)).map((address) => ({
    address,
    family: isIP(address),
  }));
  const lookup: LookupFunction = (_name, { all }, done) => {
    if (all) done(null, judged);
    else done(null, judged[0]?.address ?? "", judged[0]?.family);
  };
  const to = { host: name, port: number, lookup };
  const socket = secure
    ? process
        .getBuiltinModule("node:tls")
        .connect({ ...to, servername: servername ?? (isIP(name) ? "" : name), ALPNProtocols: ["http/1.1"] })
    : connect(to);
  return await connected(socket, secure ? "secureConnect" : "connect");
}

async function connected(socket: Socket, event: string): Promise<Socket> {
  const timer = setTimeout(() => socket.destroy(new Error("The host did not answer in time.")), CONNECT_MS);
  try {
    await new Promise<void>((resolve, reject) => socket.once(event, resolve).once("error", reject));
  } finally {
    clearTimeout(timer);
  }
  return socket.setNoDelay(true).setKeepAlive(true, 60_000);
}

/** Whether a failure is a refusal of ours, however deep it stands among causes. */
export function refusedAddress(error: unknown): AddressError | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    if (cause instanceof AddressError) return cause;
    const { errors, lastError } = cause as { errors?: unknown[]; lastError?: unknown };
    const inner = lastError ?? errors?.at(-1);
    if (inner !== undefined) return refusedAddress(inner);
  }
  return undefined;
}
