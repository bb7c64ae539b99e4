/** A local stand-in for a server of embeddings: OpenAI's form and Google's, with vectors that a test decides. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface EmbeddingServer extends AsyncDisposable {
  readonly url: string;
  /** What was asked, in order. */
  readonly asked: { path: string; key: string; model: string; texts: string[]; taskType?: string }[];
  /** A vector for each text; or a status with which the server fails; or nothing, and it never answers. */
  answer: (texts: readonly string[]) => number[][] | number | undefined;
  /** Which numbers OpenAI's form gives the vectors; left out: 0, 1, 2 … */
  numbers?: readonly number[];
  close(): Promise<void>;
}

/** Starts the server on a loopback port. */
export async function startEmbeddingServer(answer: EmbeddingServer["answer"]): Promise<EmbeddingServer> {
  const server = createServer(async (request, response) => {
    // biome-ignore lint/suspicious/noExplicitAny: two providers' forms
    const body = (await json(request)) as any;
    const path = request.url ?? "";
    const google = path.includes("EmbedContents") || path.includes(":embedContent");
    const requests = google ? (body.requests ?? [body]) : [];
    const texts: string[] = google
      ? requests.map(
          ({ content }: { content: { parts: { text: string }[] } }) => content.parts[0]?.text ?? "",
        )
      : [body.input].flat();
    stub.asked.push({
      path,
      key: String(request.headers["x-goog-api-key"] ?? request.headers.authorization ?? "").replace(
        "Bearer ",
        "",
      ),
      model: google ? (path.match(/models\/([^:]+)/)?.[1] ?? "") : body.model,
      texts,
      ...(google && { taskType: requests[0]?.taskType }),
    });
    const vectors = stub.answer(texts);
    if (vectors === undefined) return;
    response.setHeader("content-type", "application/json");
    if (typeof vectors === "number") {
      response
        .writeHead(vectors)
        .end(JSON.stringify({ error: { message: `no, ${stub.asked.at(-1)?.key}` } }));
    } else if (google) {
      const embeddings = vectors.map((values) => ({ values }));
      response.end(JSON.stringify(body.requests ? { embeddings } : { embedding: embeddings[0] }));
    } else {
      const data = vectors.map((embedding, n) => ({
        object: "embedding",
        index: stub.numbers?.[n] ?? n,
        embedding,
      }));
      response.end(
        JSON.stringify({
          object: "list",
          data,
          model: body.model,
          usage: { prompt_tokens: 1, total_tokens: 1 },
        }),
      );
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const stub: EmbeddingServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked: [],
    answer,
    close,
    [Symbol.asyncDispose]: close,
  };
  return stub;
}
