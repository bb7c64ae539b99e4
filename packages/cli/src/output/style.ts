// Decides whether output is coloured, and colours it.

import { styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];
/** Paints a text, or leaves it as it is where colour is not wanted. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_, text) => text;
const coloured: Paint = (style, text) => styleText(style, text, { validateStream: false });

/**
 * Whether a stream gets colour: the flag, then NO_COLOR and FORCE_COLOR (https://no-color.org), then whether it is a terminal.
 * @param stream where the text goes
 * @param env the environment
 * @param flag `false` for --no-color
 */
export function wantsColour(
  stream: { isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
  flag: boolean | undefined,
): boolean {
  if (flag === false || env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0";
  return stream.isTTY === true && env.TERM !== "dumb";
}

/** @param wanted whether the stream gets colour */
export const painter = (wanted: boolean): Paint => (wanted ? coloured : plain);

/** Phases, health, levels and severities that deserve a colour. */
const tones: Record<string, Style> = {
  DEPLOYED: "green",
  HEALTHY: "green",
  ACTIVE: "green",
  QUEUED: "cyan",
  DEPLOYING: "cyan",
  SCALING: "cyan",
  UPDATING: "cyan",
  RESTARTING: "cyan",
  THINKING: "cyan",
  RESPONDING: "cyan",
  WAKING: "cyan",
  SLEEPING: "dim",
  ASLEEP: "dim",
  STOPPING: "yellow",
  STOPPED: "yellow",
  DELETING: "yellow",
  DEGRADED: "yellow",
  WARN: "yellow",
  MEDIUM: "yellow",
  FAILED: "red",
  ERROR: "red",
  UNHEALTHY: "red",
  UNAVAILABLE: "red",
  INACTIVE: "red",
  HIGH: "red",
  CRITICAL: ["bold", "red"],
  DEBUG: "dim",
  UNKNOWN: "dim",
  LOW: "dim",
};

/** Paints a status word in its colour. */
export function tone(paint: Paint, word: string): string {
  const style = tones[word];
  return style === undefined ? word : paint(style, word);
}
