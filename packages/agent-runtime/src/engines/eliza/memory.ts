// What V8 is told before elizaOS is loaded, so that a replica needs half of the memory while it starts and three quarters afterwards.
import { setFlagsFromString } from "node:v8";

/**
 * WebAssembly is compiled once, by V8's baseline compiler: PGlite is 9 MB of it, and optimising its hot functions takes 600 MB for
 * some seconds and most of the start's time; an agent's few queries never win that back. Without the second flag the first means the
 * optimising compiler alone. And the young generation stays small: it grows to 64 MB while elizaOS loads, and is not given back.
 */
export function saveMemory(): void {
  setFlagsFromString("--no-wasm-tier-up");
  setFlagsFromString("--no-wasm-dynamic-tiering");
  setFlagsFromString("--semi-space-growth-factor=1");
}
