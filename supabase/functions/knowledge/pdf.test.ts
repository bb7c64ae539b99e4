import assert from "node:assert/strict";
import { afterAll, test } from "vitest";
import { readPdf } from "./pdf.ts";
import { makePdf } from "./testing/pdf.ts";

const own = Object.getOwnPropertyDescriptor(globalThis, "Worker");
afterAll(() => {
  if (own === undefined) Reflect.deleteProperty(globalThis, "Worker");
  else Object.defineProperty(globalThis, "Worker", own);
});

/** A platform whose workers do this with a file. */
function play(work: (worker: Played) => void): { ended: number } {
  const seen = { ended: 0 };
  class Fake implements Played {
    onmessage: Played["onmessage"] = null;
    onerror: Played["onerror"] = null;
    postMessage() {
      work(this);
    }
    terminate() {
      seen.ended++;
    }
  }
  Object.defineProperty(globalThis, "Worker", { value: Fake, configurable: true });
  return seen;
}
interface Played {
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: { preventDefault(): void }) => void) | null;
}

test("a PDF is read where the platform has no workers", async () => {
  Object.defineProperty(globalThis, "Worker", { value: undefined, configurable: true });
  assert.deepEqual(await readPdf(makePdf(["Hello"])), { text: "Hello" });
});

test("a file that never ends is refused after its time, and its worker is ended", async () => {
  const seen = play(() => undefined);
  const read = await readPdf(makePdf(["Hello"]), 5);
  assert.match("refused" in read ? read.refused : "", /takes too long\. Split it/);
  assert.equal(seen.ended, 1);
});

test("a worker that fails refuses its file, and is ended", async () => {
  let prevented = false;
  const seen = play((worker) =>
    worker.onerror?.({
      preventDefault: () => {
        prevented = true;
      },
    }),
  );
  const read = await readPdf(makePdf(["Hello"]));
  assert.match("refused" in read ? read.refused : "", /cannot be read/);
  assert.deepEqual([seen.ended, prevented], [1, true]);
});

test("what a worker read is taken, and it is ended", async () => {
  const seen = play((worker) => worker.onmessage?.({ data: { text: "Hello" } }));
  assert.deepEqual(await readPdf(makePdf(["Hello"])), { text: "Hello" });
  assert.equal(seen.ended, 1);
});
