// Flags of V8 for elizaOS, set before it loads, so that its database needs half of the memory while it starts.
import { setFlagsFromString } from "node:v8";

/**
 * WebAssembly is compiled once, by V8's baseline compiler: PGlite is 9 MB of it. Optimising its hot functions needs 600 MB for
 * some seconds and most of the start's time, and an agent's few queries never win that back. Without the second flag the first means the
 * optimising compiler alone. Only for elizaOS, and once Node's modules are loaded: after any change of a flag, V8 rejects the code
 * that Node brings for its own modules, and compiles them again (findings/node-flags-cost-its-own-code.sh).
 */
export function compileWasmOnce(): void {
  setFlagsFromString("--no-wasm-tier-up");
  setFlagsFromString("--no-wasm-dynamic-tiering");
}
