/** Sizes of an agent, written as Kubernetes writes them. */
import { z } from "zod";
import { anObject, whole } from "./primitives.ts";

const MIB = 1024 ** 2;

/** Kubernetes suffixes: binary with an i, decimal without. */
const memoryUnits: Record<string, number> = {
  "": 1,
  k: 1000,
  M: 1000 ** 2,
  G: 1000 ** 3,
  T: 1000 ** 4,
  Ki: 1024,
  Mi: MIB,
  Gi: 1024 * MIB,
  Ti: MIB ** 2,
};

/**
 * Reads a memory quantity.
 * @param value such as `512Mi` or `1.5Gi`
 * @returns bytes, or undefined when it is not one
 */
export function memoryBytes(value: string): number | undefined {
  const match = /^(\d{1,7}(?:\.\d{1,3})?)(Ki|Mi|Gi|Ti|k|M|G|T)?$/.exec(value);
  return match === null ? undefined : Number(match[1]) * memoryUnits[match[2] ?? ""]!;
}

/**
 * Reads a CPU quantity.
 * @param value such as `500m`, `1` or `0.5`
 * @returns thousandths of a core, or undefined when it is not one
 */
export function cpuMillicores(value: string): number | undefined {
  if (/^\d{1,7}m$/.test(value)) return Number(value.slice(0, -1));
  return /^\d{1,4}(?:\.\d{1,3})?$/.test(value) ? Math.round(Number(value) * 1000) : undefined;
}

const memory = z
  .string("Must be a quantity such as 512Mi or 2Gi")
  .refine((value) => between(memoryBytes(value), 128 * MIB, 64 * 1024 * MIB), {
    error: "Must be a quantity from 128Mi to 64Gi",
  })
  .meta({ description: "Memory of one replica, 128Mi to 64Gi.", example: "1Gi" });

const cpu = z
  .string("Must be a quantity such as 500m, 1 or 0.5")
  .refine((value) => between(cpuMillicores(value), 50, 64_000), {
    error: "Must be a quantity from 50m to 64",
  })
  .meta({ description: "CPU of one replica, 50m to 64 cores.", example: "500m" });

function between(value: number | undefined, min: number, max: number): boolean {
  return value !== undefined && value >= min && value <= max;
}

/** Size at creation: at least one replica. */
export const resources = z
  .strictObject({ memory: memory.nullish(), cpu: cpu.nullish(), replicas: whole(1, 100).nullish() }, anObject)
  .meta({ id: "Resources" });

/** Size in a change: a part left out stays; no replica at all is allowed. */
export const resourceChanges = z
  .strictObject({ memory: memory.nullish(), cpu: cpu.nullish(), replicas: whole(0, 100).nullish() }, anObject)
  .meta({ id: "ResourceChanges" });

/** Bounds for automatic scaling. */
export const scalingPolicy = z
  .strictObject(
    {
      min_replicas: whole(0, 100).nullish(),
      max_replicas: whole(1, 100).nullish(),
      target_cpu: whole(1, 100).nullish().meta({ description: "Percent of the CPU request to aim for." }),
    },
    anObject,
  )
  .refine((policy) => (policy.min_replicas ?? 0) <= (policy.max_replicas ?? 100), {
    path: ["min_replicas"],
    error: "Must not be greater than max_replicas",
  })
  .meta({ id: "ScalingPolicy" });
