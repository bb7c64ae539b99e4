// Abilities of an agent without a project, for tests of engines: no tools, no trace.
import { createAbilities } from "../abilities/runtime-abilities.ts";

export const noAbilities = createAbilities({
  agentId: "a",
  replica: "a-1",
  project: undefined,
  credential: undefined,
  warn: () => undefined,
});
