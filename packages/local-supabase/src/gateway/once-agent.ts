// An HTTP agent whose connections serve one request each.

import { Agent } from "node:http";
import { Socket, type SocketConnectOpts } from "node:net";

type Written = (error?: Error | null) => void;

/**
 * A connection that is read to its end although a write failed. A server that answers early and closes has sent its answer
 * before; Node would throw it away with the error of the write. If there is no answer, the end of reading says so.
 */
class ReadOnSocket extends Socket {
  override _write(chunk: unknown, encoding: BufferEncoding, done: Written): void {
    super._write(chunk, encoding, () => done());
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Written): void {
    super._writev?.(chunks, () => done());
  }
}

/** Connections that serve one request. They are not told to close: an early answer would be lost in the reset. */
export class OnceAgent extends Agent {
  override createConnection(options: ConstructorParameters<typeof Socket>[0] & SocketConnectOpts): Socket {
    return new ReadOnSocket(options).connect(options);
  }

  override keepSocketAlive(): boolean {
    return false;
  }
}
