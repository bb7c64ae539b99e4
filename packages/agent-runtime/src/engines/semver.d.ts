// The two functions of semver that the runtime uses; the package brings no types.
declare module "semver/ranges/ltr.js" {
  /** True where the version is less than every version that the range allows. */
  export default function ltr(version: string, range: string): boolean;
}
declare module "semver/ranges/valid.js" {
  /** The range in its canonical form; null for what is none. */
  export default function validRange(range: string): string | null;
}
