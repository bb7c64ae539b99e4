// Sizes a replica's heap and enforces its memory limit.

import { residentBytes } from "./system.ts";

const MEBIBYTE = 1024 * 1024;

/**
 * The heap that fits a memory limit, in MiB. What is not heap (code, stacks, buffers) takes some 50 MiB in a small
 * process and a quarter in a large one.
 */
export function heapMebibytes(memoryBytes: number): number {
  const limit = memoryBytes / MEBIBYTE;
  return Math.max(24, Math.floor(Math.min(limit - 48, limit * 0.75)));
}

/**
 * Watches a process's resident memory and tells once when it is over the limit. Looks often when there is little room
 * and seldom when there is much, so that idle replicas cost nearly nothing.
 * @returns the function that ends the watch
 */
export function watchMemory(pid: number, limitBytes: number, over: (bytes: number) => void): () => void {
  let ended = false;
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    const bytes = await residentBytes(pid);
    if (ended || bytes === undefined) return;
    if (bytes > limitBytes) {
      ended = true;
      over(bytes);
      return;
    }
    const room = (limitBytes - bytes) / limitBytes;
    timer = setTimeout(look, room > 0.5 ? 2000 : room > 0.2 ? 1000 : 100);
    timer.unref();
  };
  timer = setTimeout(look, 250);
  timer.unref();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
