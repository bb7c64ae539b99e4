// The time that is measured with.

/** Milliseconds since the process started. The global `performance` would load ten of Node's modules into a replica that only waits. */
export const now = (): number => process.uptime() * 1000;
