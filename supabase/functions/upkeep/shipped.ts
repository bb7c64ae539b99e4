/** The packages that the agent runtime of this release ships with, as the database takes them. */
import { SHIPPED } from "./runtime-packages.ts";

/** One package at an exact version, of what every agent runs on (model) or those on elizaOS do. */
export interface RuntimePackage {
  readonly set: "model" | "eliza";
  readonly package: string;
  readonly version: string;
  readonly install_script: boolean;
}

/** All of them. */
export function runtimePackages(): RuntimePackage[] {
  return (["model", "eliza"] as const).flatMap((set) =>
    SHIPPED[set]
      .trim()
      .split("\n")
      .map((line) => {
        const at = line.lastIndexOf("@");
        const [version = "", script] = line.slice(at + 1).split(" ");
        return { set, package: line.slice(0, at), version, install_script: script === "script" };
      }),
  );
}
