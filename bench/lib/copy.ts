// COPY … FROM STDIN over pg's own connection: what ingestion is held against.
import type pg from "pg";

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** Copies rows (text format, tabs between columns) in one command; resolves when it is committed. */
export function copyFrom(client: pg.Client, command: string, rows: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failure: Error | undefined;
  // What pg asks of a query object that it is given to run.
  const query = {
    submit: (connection: CopyConnection) => connection.query(command),
    handleCopyInResponse(connection: CopyConnection) {
      for (let at = 0; at < rows.length; at += 65_536)
        connection.sendCopyFromChunk(rows.subarray(at, at + 65_536));
      connection.endCopyFrom();
    },
    handleCommandComplete: () => {},
    handleError: (error: Error) => {
      failure = error;
      reject(error);
    },
    handleReadyForQuery: () => {
      if (!failure) resolve();
    },
    callback: () => {},
  };
  client.query(query as unknown as pg.Submittable);
  return promise;
}
