import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { type TestContext, test } from "vitest";
import { guardFetch, refusedAddress } from "./fetch.ts";

/** Guards this process's fetch for one test. */
function guarded(t: TestContext, ...rule: Parameters<typeof guardFetch>): void {
  const plain = globalThis.fetch;
  guardFetch(...rule);
  t.onTestFinished(() => {
    globalThis.fetch = plain;
  });
}

async function listen(t: TestContext, handler: RequestListener): Promise<number> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

const refusal = async (url: string) => {
  const failed = await fetch(url).then(
    () => undefined,
    (error: unknown) => error,
  );
  return refusedAddress(failed)?.message;
};

test("loopback, private, link-local and mapped addresses are refused, in every spelling", async (t) => {
  let asked = 0;
  const port = await listen(t, (_, response) => {
    asked += 1;
    response.end();
  });
  guarded(t, { privateHosts: [] });
  const hosts = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "0x7f000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "10.0.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00::1]",
  ];
  for (const host of hosts)
    assert.equal(await refusal(`http://${host}:${port}/`), "The host is not on the public Internet.", host);
  assert.equal(await refusal("http://127.0.0.1:24/"), "Port 24 is not one for HTTP.");
  assert.equal(asked, 0);
});

test("a name is judged at each connection, and the connection goes to what was judged", async (t) => {
  const port = await listen(t, (request, response) => response.end(request.headers.host));
  const answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]];
  const asked: string[] = [];
  guarded(t, {
    privateHosts: [`second.invalid:${port}`],
    resolve: async (host) => {
      asked.push(host);
      return answers.shift() ?? [];
    },
  });
  assert.match(
    (await refusal(`http://first.invalid:${port}/`)) ?? "",
    /not on the public/,
    "one private address is enough",
  );
  // No resolver knows this name: the connection can only have gone to the address that was judged.
  assert.equal(await (await fetch(`http://second.invalid:${port}/`)).text(), `second.invalid:${port}`);
  assert.match((await refusal(`http://first.invalid:${port}/`)) ?? "", /not on the public/);
  assert.deepEqual(asked, ["first.invalid", "second.invalid", "first.invalid"]);
  assert.match((await refusal(`http://unknown.invalid:${port}/`)) ?? "", /not found/);
});

test("a redirect goes nowhere that its first address might not", async (t) => {
  const target = await listen(t, (_, response) => response.end("secret"));
  const port = await listen(t, (_, response) =>
    response.writeHead(307, { location: `http://localhost:${target}/` }).end(),
  );
  guarded(t, { privateHosts: [`127.0.0.1:${port}`] });
  assert.match((await refusal(`http://127.0.0.1:${port}/`)) ?? "", /not on the public/);
});

test("TLS is spoken to the judged address with the name of the URL", async (t) => {
  const hello = Promise.withResolvers<Buffer>();
  const server = createTcp((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => {
      hello.resolve(data);
      socket.destroy();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  guarded(t, { privateHosts: [`models.invalid:${port}`], resolve: async () => ["127.0.0.1"] });
  await assert.rejects(fetch(`https://models.invalid:${port}/`));
  assert.ok((await hello.promise).includes("models.invalid"));
});

test("what a caller's own dispatcher reaches is that caller's business", async (t) => {
  guarded(t, { privateHosts: [] });
  const used = Promise.withResolvers<void>();
  const dispatcher = { dispatch: () => used.resolve() };
  void fetch("http://127.0.0.1:54320/", { dispatcher } as unknown as RequestInit).catch(() => {});
  await used.promise;
});
