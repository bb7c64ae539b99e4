// A stand-in for the project (PostgREST): it knows one key of the agent, grants every reservation and keeps what it received,
// unless a test says otherwise.
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { AnswerSteps } from "../abilities/step-log.ts";
import type { Step } from "../abilities/steps.ts";

export interface Called {
  readonly rpc: string;
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  readonly args: any;
  readonly headers: IncomingHttpHeaders;
}

export interface ProjectAnswer {
  readonly status?: number;
  readonly body: unknown;
  readonly after?: Promise<unknown>;
}

export interface ProjectStub extends AsyncDisposable {
  readonly url: string;
  readonly calls: Called[];
  /** The variables that point a runtime at the stub, and the key that proves the platform to it. */
  readonly environment: Record<string, string>;
  /** Undefined: as {@link granting} does. */
  answer: (called: Called) => ProjectAnswer | undefined;
  /** Nobody is at the address until {@link up}. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** What was settled so far, by reservation. */
  settled(): Map<string, Record<string, unknown>>;
  /** The steps it received so far, with their answer's id. */
  steps(): (Step & { readonly messageId: string })[];
}

export const MESSAGE_KEY = "k".repeat(64);

/** A key of the agent that the stand-in knows. */
export const TEST_KEY = `lp_${"k".repeat(43)}`;

/** The refusal of an RPC, as PostgREST writes it. */
export const refused = (status: number, code: string): ProjectAnswer => ({
  status,
  body: { code, message: code, details: null },
});

/** Lets in who has {@link TEST_KEY}, and grants what is asked for. */
export const granting = ({ rpc, args }: Pick<Called, "rpc" | "args">): ProjectAnswer => {
  if (rpc === "judge_caller") {
    if (args.need === "preflight") return { body: { allowed: false } };
    return args.key === TEST_KEY ? { body: { caller: "key:test" } } : refused(401, "INVALID_API_KEY");
  }
  if (rpc === "count_public_message") return { body: { allowed: true, retryAfter: 60 } };
  if (rpc === "reserve_model_call") {
    const { id, inputTokens, outputTokens } = args.call;
    return { body: { id, inputTokens, outputTokens } };
  }
  if (rpc === "runtime_tools") return { body: { tools: [] } };
  if (rpc === "runtime_acts") return { body: { may: true } };
  if (rpc === "runtime_begin_message") return { body: { messageId: args.id } };
  if (rpc === "runtime_search") return { body: [] };
  if (rpc === "hold_platforms") return { body: { held: true } };
  if (rpc === "report_plugins") return { body: { kept: args.plugins.length } };
  if (rpc === "settle_model_calls") return { body: { settled: args.settled.length } };
  return { status: 404, body: { code: "PGRST202", message: `no function ${rpc}` } };
};

/** Starts a stub on a loopback port. */
export async function startProjectStub(port = 0): Promise<ProjectStub> {
  const calls: Called[] = [];
  const server = createServer(async (request, response) => {
    const called = {
      rpc: (request.url ?? "").split("/").at(-1) ?? "",
      args: JSON.parse(await text(request)),
      headers: request.headers,
    };
    calls.push(called);
    const { status = 200, body, after } = stub.answer(called) ?? granting(called);
    await after;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  const listen = async (at: number): Promise<number> => {
    server.listen(at, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const bound = await listen(port);
  const down = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const url = `http://127.0.0.1:${bound}`;
  const stub: ProjectStub = {
    url,
    calls,
    environment: {
      AGENT_PROJECT_URL: url,
      AGENT_PROJECT_KEY: "sb_publishable_test",
      AGENT_MESSAGE_KEY: MESSAGE_KEY,
    },
    answer: granting,
    down,
    up: async () => {
      await listen(bound);
    },
    settled: () =>
      new Map(
        calls.flatMap(({ args }) =>
          (args.settled ?? []).map((item: { id: string }) => [item.id, item] as const),
        ),
      ),
    steps: () =>
      calls.flatMap(({ args }) =>
        (args.steps ?? []).flatMap(({ messageId, steps }: AnswerSteps) =>
          steps.map((step) => ({ ...step, messageId })),
        ),
      ),
    [Symbol.asyncDispose]: down,
  };
  return stub;
}
