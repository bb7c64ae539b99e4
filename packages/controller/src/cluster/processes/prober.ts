// Probes one replica until it is ready, and on while it runs.

import { isNewLatency } from "../latency.ts";
import { healthOf } from "../runtime.ts";
import { get } from "./probe.ts";

export interface ProberOptions {
  port: number;
  /** Between probes of a healthy replica. */
  probeMs: number;
  onReady(): void;
  onUnready(): void;
  /** It did not answer several times in a row. */
  onDead(message: string): void;
  /** Its health's status changed, or how fast it answers did by much. */
  onHealth(): void;
}

/** While a replica starts or is unready, the wait between probes grows from the first to the second. */
const FIRST_MS = 25;
const SLOWEST_MS = 500;
const TIMEOUT_MS = 5000;
/** So many probes in a row without an answer, over at least this time, end it. */
const DEAD_AFTER = 3;
const DEAD_AFTER_MS = 3000;

/**
 * Probes one replica: `/ready` at once and often until it is ready, then seldom, with `/health` each time.
 * One probe at a time; nothing is left behind after {@link stop}.
 */
export class Prober {
  health: { status: "ok" | "degraded"; responseTimeMs: number } | undefined;
  readonly #options: ProberOptions;
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #toldMs = 0;
  #wait = FIRST_MS;
  #silent = 0;
  #silentSince = 0;
  #probing = false;
  #stopped = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    void this.#probe();
  }

  /** Somebody could not reach it: look now. */
  suspect(): void {
    if (this.#stopped || this.#probing) return;
    clearTimeout(this.#timer);
    void this.#probe();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #probe(): Promise<void> {
    this.#probing = true;
    const { onDead, onReady, onUnready, port, probeMs } = this.#options;
    const [answer] = await Promise.all([get(port, "/ready", TIMEOUT_MS), this.#look()]);
    const ready = answer?.status === 200;
    this.#probing = false;
    if (this.#stopped) return;
    if (answer === undefined && this.#silent === 0) this.#silentSince = performance.now();
    this.#silent = answer === undefined ? this.#silent + 1 : 0;
    if (this.#silent >= DEAD_AFTER && performance.now() - this.#silentSince >= DEAD_AFTER_MS) {
      onDead(`It did not answer ${DEAD_AFTER} probes in a row and was ended.`);
      return;
    }
    if (ready !== this.#ready) {
      this.#ready = ready;
      this.#wait = FIRST_MS;
      if (ready) onReady();
      else onUnready();
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#probe(), ready ? probeMs : this.#wait);
    this.#timer.unref();
    if (!ready) this.#wait = Math.min(SLOWEST_MS, this.#wait * 2);
  }

  async #look(): Promise<void> {
    const before = this.health;
    const answer = await get(this.#options.port, "/health", TIMEOUT_MS);
    if (answer === undefined || this.#stopped) return;

    const status = healthOf(answer.status, answer.body);
    const responseTimeMs = Math.round(answer.milliseconds * 10) / 10;
    this.health = { status, responseTimeMs };
    if (!this.#ready) this.#toldMs = responseTimeMs;
    else if (before?.status !== status || isNewLatency(responseTimeMs, this.#toldMs)) {
      this.#toldMs = responseTimeMs;
      this.#options.onHealth();
    }
  }
}
