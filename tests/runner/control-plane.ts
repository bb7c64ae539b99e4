// The Kubernetes control plane of the cluster tests: built before the clock of a test runs.
//   node tests/runner/control-plane.ts   builds it
import "./clean-environment.ts";
import { buildCluster } from "../helpers/cluster.ts";

/** @throws {Error} saying what is missing where it cannot be built */
export default async function controlPlane(): Promise<void> {
  await buildCluster((line) => process.stdout.write(`${line}\n`));
}

if (import.meta.main) await controlPlane();
