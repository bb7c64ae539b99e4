// What the database says of the settings that a controller makes pods of. Pure.

/** By field, what is wrong: fields of LAUNCHPAD_AGENT_PODS, and `image`. */
export type SettingProblems = Readonly<Record<string, string>>;

/** So many are named at once. */
const MOST = 5;

/**
 * Why this controller may not claim agents, with the values as the chart names them.
 * @returns undefined where nothing is wrong
 */
export function settingsTrouble(problems: SettingProblems | null | undefined): string | undefined {
  const all = Object.entries(problems ?? {});
  if (all.length === 0) return undefined;
  const named = all.slice(0, MOST).map(([field, problem]) => `agents.${field}: ${problem}.`);
  const more = all.length > MOST ? ` ${all.length - MOST} more follow.` : "";
  const variables = [
    ...(all.some(([field]) => field === "image") ? ["LAUNCHPAD_AGENT_IMAGE"] : []),
    ...(all.some(([field]) => field !== "image") ? ["LAUNCHPAD_AGENT_PODS"] : []),
  ];
  return `Kubernetes would refuse every agent with these settings. ${named.join(" ")}${more} Correct the chart's values (${variables.join(", ")} without the chart).`;
}
