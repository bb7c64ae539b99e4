// Run by Deno, one process per function: serves the function's index.ts on a free loopback port.
// The function is the one that is deployed to hosted Supabase: it calls Deno.serve(handler), or exports { fetch }.
//   deno run … serve.ts <path of index.ts>
// When it listens, one line on stdout says where: {"event":"ready","port":N}

import { batchOutput } from "./output.ts";

type Handler = (request: Request, info: unknown) => Response | Promise<Response>;

interface DenoHost {
  args: string[];
  serve: (options: object, handler: Handler) => unknown;
  stdout: { writeSync: (bytes: Uint8Array) => number };
  addSignalListener: (signal: string, listener: () => void) => void;
  exit: (code: number) => never;
}

const host = (globalThis as unknown as { Deno: DenoHost }).Deno;
const listen = host.serve;
let serving = false;

function serve(first: unknown, second?: unknown): unknown {
  if (serving) throw new Error("a function may call Deno.serve once");
  const handler = second ?? (isHandler(first) ? first : property(first, "handler"));
  if (!isHandler(handler)) throw new TypeError("Deno.serve needs a handler");
  serving = true;
  const onListen = ({ port }: { port: number }) => {
    output.line(JSON.stringify({ event: "ready", port }));
    output.flush();
  };
  return listen({ hostname: "127.0.0.1", port: 0, onListen }, handler);
}

function isHandler(value: unknown): value is Handler {
  return typeof value === "function";
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

const output = batchOutput({
  write(text) {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; ) at += host.stdout.writeSync(bytes.subarray(at));
  },
});
const print = console.log;
console.log = (...data: unknown[]) => {
  if (data.length === 1 && typeof data[0] === "string") return output.line(data[0]);
  output.flush();
  print(...data);
};
// Nothing that was logged is lost, however the function ends, but by SIGKILL.
for (const event of ["unload", "error", "unhandledrejection"]) addEventListener(event, output.flush);
host.addSignalListener("SIGTERM", () => {
  output.flush();
  host.exit(143);
});

// Hosted chooses address and port, whatever the function asks for; so does this.
Object.defineProperty(host, "serve", { value: serve });

// On hosted it keeps the worker alive; here the process stays anyway, so only the failure must not be lost.
Object.defineProperty(globalThis, "EdgeRuntime", {
  value: {
    waitUntil: (work: Promise<unknown>) => {
      work.catch((error: unknown) => console.error("EdgeRuntime.waitUntil:", error));
    },
  },
});

const entry = host.args[0];
if (entry === undefined) throw new Error("usage: serve.ts <path of index.ts>");
const module: unknown = await import(new URL(entry, "file:///").href);
if (!serving) serve(property(property(module, "default"), "fetch"));
