// The little of `semver` that is used: the package brings no types.
declare module "semver" {
  export function satisfies(
    version: string,
    range: string,
    options?: { includePrerelease?: boolean },
  ): boolean;
  export function minVersion(range: string): { major: number; version: string } | null;
  export function validRange(range: string): string | null;
  export function rcompare(a: string, b: string): number;
  export function prerelease(version: string): readonly (string | number)[] | null;
}
