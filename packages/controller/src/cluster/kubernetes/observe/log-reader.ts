// Reads one container's log, line by line.

import type { ReplicaLog } from "../../cluster.ts";
import { LineSplitter, type ParsedLine, parseLine } from "../../lines.ts";
import { type LogBudget, leftOut } from "../../log-budget.ts";
import type { KubeApi, PodLogQuery } from "../api.ts";
import { CONTAINER, LABELS } from "../names.ts";
import type { LogCursor } from "./log-cursor.ts";
import type { Pod } from "./objects.ts";
import type { Redact } from "./redactors.ts";

/** Longer lines are cut; with them comes the time that the node wrote beside them. */
const LONGEST = 64 * 1024;
const TIME = 40;

export interface Reading {
  api: Pick<KubeApi, "podLog">;
  pod: Pod;
  cursor: LogCursor;
  redact: Redact;
  /** How much of the agent's output is kept. */
  budget: LogBudget;
  query: Pick<PodLogQuery, "follow" | "previous" | "sinceTime" | "tailLines" | "signal">;
  onLine(line: ReplicaLog): void;
  /** The server has begun to answer, or sent more. */
  onData(): void;
}

/**
 * Reads the log of an agent's container once, to its end or for as long as it is followed.
 * @throws {KubeError} when it cannot be read, or breaks off
 */
export async function readLog(reading: Reading): Promise<void> {
  const { api, budget, cursor, onData, onLine, pod, query, redact } = reading;
  const { labels, name, namespace = "" } = pod.metadata;
  const agentId = labels?.[LABELS.agent] ?? "";
  cursor.begin();
  const splitter = new LineSplitter((text) => {
    const space = text.indexOf(" ");
    const timestamp = space === -1 ? text : text.slice(0, space);
    const said = space === -1 ? "" : text.slice(space + 1);
    if (said.trim() === "") return;
    const sequence = cursor.next(timestamp);
    if (sequence === undefined) return;
    const at = new Date(Math.floor(sequence / 1000)).toISOString();
    const tell = (line: ParsedLine) => onLine({ agentId, replica: name, sequence, ...line });
    // Its number is that of the first line that was left out: read again, it is told once.
    const sayDropped = (dropped: number) =>
      tell({ timestamp: at, level: "WARN", source: "controller", ...leftOut(dropped) });
    if (!budget.admits(said.length, sequence / 1000, sayDropped)) return;
    tell(redact(parseLine(said, { source: "stdout", level: "INFO", timestamp: at })));
  }, LONGEST + TIME);
  const chunks = await api.podLog(namespace, name, { container: CONTAINER, timestamps: true, ...query });
  onData();
  for await (const chunk of chunks) {
    onData();
    splitter.push(chunk);
  }
  // While it is followed, a line that has no end yet may go on: it is read again, as a whole.
  if (!query.follow) splitter.end();
}
