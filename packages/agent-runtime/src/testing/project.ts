// A stand-in for the project (PostgREST): it grants every reservation and keeps what it was told, unless a test says otherwise.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface Called {
  readonly rpc: string;
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  readonly args: any;
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
  answer: (called: Called) => ProjectAnswer;
  /** What was settled so far, by reservation. */
  settled(): Map<string, Record<string, unknown>>;
}

export const MESSAGE_KEY = "k".repeat(64);

/** Grants what is asked for. */
export const granting = ({ rpc, args }: Called): ProjectAnswer => {
  if (rpc === "reserve_model_call") {
    const { id, inputTokens, outputTokens } = args.call;
    return { body: { id, inputTokens, outputTokens } };
  }
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
    };
    calls.push(called);
    const { status = 200, body, after } = stub.answer(called);
    await after;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stub: ProjectStub = {
    url,
    calls,
    environment: {
      AGENT_PROJECT_URL: url,
      AGENT_PROJECT_KEY: "sb_publishable_test",
      AGENT_MESSAGE_KEY: MESSAGE_KEY,
    },
    answer: granting,
    settled: () =>
      new Map(
        calls.flatMap(({ args }) =>
          (args.settled ?? []).map((item: { id: string }) => [item.id, item] as const),
        ),
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return stub;
}
