// The generated types are the contract's: the compiler compares them, both ways.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { z } from "zod";
import type * as Contract from "../../../supabase/functions/_shared/contract/index.ts";
import { errorCodes } from "../../../supabase/functions/_shared/contract/index.ts";
import type * as Sdk from "./contract.ts";
import { API_ERROR_CODES } from "./contract.ts";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : "the contract is wider") : "the SDK is wider";

/** Answers take values that a newer server knows, so their texts are compared as texts. */
type Texts<T> = T extends string
  ? string
  : T extends readonly (infer Item)[]
    ? Texts<Item>[]
    : T extends object
      ? { [Key in keyof T]: Texts<T[Key]> }
      : T;
type SameAnswer<A, B> = Same<Texts<A>, Texts<B>>;

/** One line for each type; a difference is a compile error. */
type Comparisons = [
  SameAnswer<Sdk.Agent, Contract.Agent>,
  SameAnswer<Sdk.AgentKeyList, Contract.AgentKeyList>,
  Same<Sdk.CreateAgentKeyRequest, Contract.CreateAgentKeyRequest>,
  SameAnswer<Sdk.CreatedAgentKey, Contract.CreatedAgentKey>,
  SameAnswer<Sdk.AgentList, Contract.AgentList>,
  SameAnswer<Sdk.AgentLogs, Contract.AgentLogs>,
  Same<Sdk.AgentLogsQuery["lines"], Contract.LogsQuery["lines"]>,
  SameAnswer<Sdk.AgentMetrics, Contract.AgentMetrics>,
  SameAnswer<Sdk.AgentStatusReport, Contract.AgentStatusReport>,
  SameAnswer<Sdk.AccountDeleted, Contract.AccountDeleted>,
  SameAnswer<Sdk.DeletedAgent, Contract.DeletedAgent>,
  SameAnswer<Sdk.DeployedAgent, Contract.DeployedAgent>,
  SameAnswer<Sdk.Health, Contract.Health>,
  SameAnswer<Sdk.InitiatedChange, Contract.InitiatedChange>,
  Same<Sdk.LaunchAgentRequest, Contract.LaunchAgentRequest>,
  SameAnswer<Sdk.LaunchedAgent, Contract.LaunchedAgent>,
  SameAnswer<Sdk.RestartedAgent, Contract.RestartedAgent>,
  SameAnswer<Sdk.RevisionList, Contract.RevisionList>,
  SameAnswer<Sdk.RolledBackAgent, Contract.RolledBackAgent>,
  Same<Sdk.ScaleAgentRequest, Contract.ScaleAgentRequest>,
  SameAnswer<Sdk.ScaledAgent, Contract.ScaledAgent>,
  SameAnswer<Sdk.SecurityEvents, Contract.SecurityEvents>,
  SameAnswer<Sdk.SecurityScan, Contract.SecurityScan>,
  SameAnswer<Sdk.StoppedAgents, Contract.StoppedAgents>,
  SameAnswer<Sdk.SystemMetrics, Contract.SystemMetrics>,
  Same<Sdk.UpdateAgentRequest, Contract.UpdateAgentRequest>,
  Same<Sdk.UpdateProfileRequest, Contract.UpdateProfileRequest>,
  SameAnswer<Sdk.UpdatedAgent, Contract.UpdatedAgent>,
  SameAnswer<Sdk.UserProfile, Contract.UserProfile>,
  SameAnswer<Sdk.ErrorEnvelope["error"]["code"], z.infer<typeof Contract.errorEnvelope>["error"]["code"]>,
];

// Does not compile where one differs.
export const same: Comparisons extends readonly true[] ? true : Comparisons = true;

test("the SDK knows every code of the contract", () => {
  assert.deepEqual(API_ERROR_CODES, Object.keys(errorCodes));
});
