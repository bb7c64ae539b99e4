// What V8 is told before anything else, so that an elizaOS agent needs half of the memory while it starts and three quarters afterwards.
import { setFlagsFromString } from "node:v8";

/** Whoever compiles code for an agent sets them, too. */
export const MEMORY_FLAGS = [
  "--no-wasm-tier-up",
  "--no-wasm-dynamic-tiering",
  "--semi-space-growth-factor=1",
] as const;

/**
 * WebAssembly is compiled once, by V8's baseline compiler: PGlite is 9 MB of it, and optimising its hot functions takes 600 MB for
 * some seconds and most of the start's time; an agent's few queries never win that back. Without the second flag the first means the
 * optimising compiler alone. The young generation stays small: it grows to 64 MB while elizaOS loads, and is not given back.
 * For every agent, at its very start: V8 refuses compiled code of the cache where a flag differs, and the engines share most of theirs.
 */
export function saveMemory(): void {
  for (const flag of MEMORY_FLAGS) setFlagsFromString(flag);
}
