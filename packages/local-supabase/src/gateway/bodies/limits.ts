/** How large a request's body may be, by where it goes. Judged before anyone is known, and again while it arrives. */
import type { Route } from "../routes.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Bytes. A file in Storage has a limit of its own: `storage`, and less for callers without a user. */
export const BODY_LIMITS = {
  auth: MiB,
  graphql: MiB,
  /** A broadcast of the largest payload (3,000 KB, as hosted), and what is around it. */
  realtime: 5 * MiB,
  rest: 8 * MiB,
  function: 8 * MiB,
  storage: 512 * MiB,
  /** Files of callers without a user, and everything that is no file. */
  storageWithoutUser: 5 * MiB,
  storageJson: MiB,
  /** Pages and what is found nowhere take no body at all worth reading. */
  other: 64 * KiB,
} as const;

/** The limit of a route. */
export function limitOf(route: Route): number {
  if (route.kind === "extension") return route.limit;
  const { kind } = route;
  return kind in BODY_LIMITS ? BODY_LIMITS[kind as keyof typeof BODY_LIMITS] : BODY_LIMITS.other;
}
