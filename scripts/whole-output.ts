// Loaded into each test file's process: writes are done before the next line of code. The process is ended when its last test is
// over (forceExit in test.ts), and what then waits in the pipe is lost: results that are counted nowhere.

for (const stream of [process.stdout, process.stderr]) {
  const pipe = stream as typeof stream & { _handle?: { setBlocking?(on: boolean): number } };
  pipe._handle?.setBlocking?.(true);
}
