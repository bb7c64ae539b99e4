// The fleet in words for people. Pure.
import type { Look } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";
import type { FleetStatus, Rollout, Stopped } from "./operator.ts";

/** What the brakes of all living controllers stopped: of each kind the most. */
export function stoppedOf({ controllers }: FleetStatus): Stopped {
  const all: Stopped = {};
  for (const { alive, fleet } of controllers) {
    if (!alive) continue;
    for (const [kind, stopped] of Object.entries(fleet.stopped ?? {})) {
      if (stopped.count > (all[kind]?.count ?? 0)) all[kind] = stopped;
    }
  }
  return all;
}

/** `37 of 40 agents (agent-1, agent-2, …)` for each kind. */
export function stoppedText(stopped: Stopped): string[] {
  return Object.entries(stopped).map(
    ([kind, { count, examples, total }]) =>
      `${count} of ${total} ${kind} (${examples.map(oneLine).join(", ")}${count > examples.length ? ", …" : ""})`,
  );
}

/** The rollout in two or three lines; nothing when absent. */
export function rolloutFacts(rollout: Rollout | null, { paint }: Look): [string, string][] {
  if (rollout == null) return [];
  const {
    examples,
    failed,
    idle,
    image,
    previousImage,
    problem,
    ready,
    reason,
    state,
    total,
    updating,
    waiting,
  } = rollout;
  const tone = state === "halted" ? "red" : state === "running" ? "cyan" : "yellow";
  const stands = [
    `${ready} of ${total} ready`,
    ...(updating > 0 ? [`${updating} updating`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(idle > 0 ? [`${idle} not serving`] : []),
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
  ];
  return [
    ["Rollout", `${paint(tone, state)}, wave ${rollout.wave}: ${stands.join(", ")}`],
    ["Image", `${oneLine(image)}${previousImage === null ? "" : ` (before: ${oneLine(previousImage)})`}`],
    ...(reason === null ? [] : [["Reason", oneLine(reason)] as [string, string]]),
    ...(problem === null ? [] : [["Problem", paint("red", oneLine(problem))] as [string, string]]),
    ...(examples.length === 0 ? [] : [["Agents", examples.map(oneLine).join(", ")] as [string, string]]),
  ];
}

/** The status as a table of controllers and what is wanted of them. */
export function statusText(status: FleetStatus, look: Look): string {
  const { paint } = look;
  const stopped = stoppedText(stoppedOf(status));
  const troubles = status.controllers.flatMap(({ alive, fleet }) => (alive && fleet.trouble) || []);
  const release = status.release;
  const summary = facts(
    [
      ["Database", status.installation],
      [
        "Hold",
        status.hold === null
          ? "no"
          : paint(
              "yellow",
              [status.hold === "everything" ? "everything (read-only)" : status.hold, status.holdReason]
                .filter(Boolean)
                .join(": "),
            ),
      ],
      ...rolloutFacts(status.rollout, look),
      ...(release === null
        ? []
        : [
            ["Released", `${release.removals} removals for ${Math.round(release.seconds / 60)} min`] as const,
          ]),
      ...(status.adopted.length === 0 ? [] : [["Adopted", status.adopted.join(", ")] as const]),
      ...stopped.map((line) => ["Stopped", paint("red", line)] as const),
      ...[...new Set(troubles)].map((line) => ["Problem", paint("red", oneLine(line))] as const),
      [
        "Agents",
        Object.entries(status.phases)
          .map(([phase, count]) => `${count} ${phase}`)
          .join(", ") || "none",
      ],
    ],
    paint,
  );
  if (status.controllers.length === 0) return summary;
  return `${summary}\n${table(
    status.controllers,
    [
      { title: "CONTROLLER", value: ({ worker }) => worker },
      { title: "ALIVE", value: ({ alive, drained }) => (drained ? "drained" : alive ? "yes" : "no") },
      { title: "HOLDS", value: ({ held }) => String(held) },
      { title: "CLUSTER", value: ({ cluster }) => cluster ?? "" },
      { title: "VERSION", value: ({ version }) => version ?? "" },
      { title: "HEARTBEAT", value: ({ heartbeatAt }) => heartbeatAt },
    ],
    look,
  )}`;
}
