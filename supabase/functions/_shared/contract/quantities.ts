/** Sizes of an agent, written as Kubernetes writes them. */
import { z } from "zod";
import { anObject, whole } from "./primitives.ts";

const MIB = 1024 ** 2;

/** The grammar of k8s.io/apimachinery's resource.Quantity, without a sign. SQL's private.quantity reads the same. */
const QUANTITY = /^(\d{1,20}\.?\d{0,9}|\.\d{1,9})(?:([numkMGTPE])|([KMGTPE])i|[eE]([+-]?\d{1,2}))?$/;
const DECIMAL: Record<string, number> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const BINARY = "KMGTPE";

/**
 * Reads a quantity as Kubernetes does.
 * @param value such as `512Mi`, `1.5Gi`, `.5`, `1e9` or `250m`; a number is taken as its digits
 * @returns the number, or undefined when it is not a quantity
 */
export function quantity(value: string | number): number | undefined {
  const [, digits, decimal, binary, exponent] = QUANTITY.exec(String(value)) ?? [];
  if (digits === undefined) return undefined;
  // By the exponent of a literal, not by multiplication: 0.5e3 is exact where 0.5 × 1000 need not be.
  const power = decimal === undefined ? Number(exponent ?? 0) : (DECIMAL[decimal] ?? 0);
  return Number(`${digits}e${power}`) * (binary === undefined ? 1 : 1024 ** (BINARY.indexOf(binary) + 1));
}

/** A memory quantity in bytes, rounded up; undefined when it is not one. */
export const memoryBytes = (value: string | number): number | undefined => roundUp(quantity(value));

/** A CPU quantity in thousandths of a core, rounded up; undefined when it is not one. */
export const cpuMillicores = (value: string | number): number | undefined => {
  const cores = quantity(value);
  return roundUp(cores === undefined ? undefined : cores * 1000);
};

/** Of a fraction fifteen digits first: 0.07 × 1000 is 70.00000000000001. */
const roundUp = (value: number | undefined) =>
  value === undefined || Number.isInteger(value) ? value : Math.ceil(Number(value.toPrecision(15)));

const written = z.union([z.string(), z.number()], 'Must be a quantity such as "512Mi" or "500m"');

const memory = written
  .refine((value) => between(memoryBytes(value), 128 * MIB, 64 * 1024 * MIB), {
    error: 'Must be a quantity from 128Mi to 64Gi, such as "512Mi" or "1Gi"',
  })
  .meta({ description: "Memory of one replica, 128Mi to 64Gi.", example: "1Gi" });

const cpu = written
  .refine((value) => between(cpuMillicores(value), 50, 64_000), {
    error: 'Must be a quantity from 50m to 64, such as "500m" or "1"',
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
