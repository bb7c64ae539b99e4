// Whether the parts of a project are of releases that go together.
import { type Finding, finding } from "./check.ts";

/** A part and the release it says it is; undefined where it does not say. */
export interface Part {
  name: string;
  version: string | undefined;
}

/** How far two releases are apart: in the first number that differs of major and minor, patches left out. */
function distance(one: string, other: string): number {
  const numbers = (version: string) => version.split(".").map(Number);
  const [major = 0, minor = 0] = numbers(one);
  const [otherMajor = 0, otherMinor = 0] = numbers(other);
  return major === otherMajor ? Math.abs(minor - otherMinor) : Number.POSITIVE_INFINITY;
}

/**
 * The finding in the versions of this program and of the parts it reached. Pure.
 * @param own this program's
 */
export function judgeVersions(own: string, parts: readonly Part[]): Finding {
  const check = "versions";
  const silent = parts.filter(({ version }) => version === undefined);
  const apart = parts.map(({ version }) => (version === undefined ? 0 : distance(own, version)));
  const furthest = Math.max(0, ...apart);
  const said = [{ name: "this CLI", version: own }, ...parts]
    .map(({ name, version }) => `${name} ${version ?? "before 0.2.0"}`)
    .join(", ");
  if (furthest > 1)
    return finding(
      check,
      "problem",
      `More than one release apart: ${said}. Update the older part (docs/upgrading.md).`,
    );
  if (furthest === 1 || silent.length > 0)
    return finding(
      check,
      "warning",
      `One release apart: ${said}. Update the older part soon (docs/upgrading.md).`,
    );
  return finding(check, "ok", `${said} go together.`);
}
