/** The worker in which a PDF is read: one file, then it is ended. */
import { extract } from "./pdf-text.ts";

const scope = globalThis as unknown as {
  onmessage: ((event: { data: Uint8Array }) => void) | null;
  postMessage(message: unknown): void;
};
scope.onmessage = ({ data }) => void extract(data).then((read) => scope.postMessage(read));
