// The generated types are the contract's: the compiler compares them, both ways.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import type * as Contract from "../../../supabase/functions/_shared/contract/index.ts";
import { errorCodes } from "../../../supabase/functions/_shared/contract/index.ts";
import type * as Sdk from "./contract.ts";
import { API_ERROR_CODES } from "./contract.ts";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : "the contract is wider") : "the SDK is wider";

/** One line for each type; a difference is a compile error. */
type Comparisons = [
  Same<Sdk.Agent, Contract.Agent>,
  Same<Sdk.AgentKeyList, Contract.AgentKeyList>,
  Same<Sdk.CreateAgentKeyRequest, Contract.CreateAgentKeyRequest>,
  Same<Sdk.CreatedAgentKey, Contract.CreatedAgentKey>,
  Same<Sdk.AgentList, Contract.AgentList>,
  Same<Sdk.AgentLogs, Contract.AgentLogs>,
  Same<Sdk.AgentLogsQuery["lines"], Contract.LogsQuery["lines"]>,
  Same<Sdk.AgentMetrics, Contract.AgentMetrics>,
  Same<Sdk.AgentStatusReport, Contract.AgentStatusReport>,
  Same<Sdk.AccountDeleted, Contract.AccountDeleted>,
  Same<Sdk.DeletedAgent, Contract.DeletedAgent>,
  Same<Sdk.DeployedAgent, Contract.DeployedAgent>,
  Same<Sdk.Health, Contract.Health>,
  Same<Sdk.InitiatedChange, Contract.InitiatedChange>,
  Same<Sdk.LaunchAgentRequest, Contract.LaunchAgentRequest>,
  Same<Sdk.LaunchedAgent, Contract.LaunchedAgent>,
  Same<Sdk.RestartedAgent, Contract.RestartedAgent>,
  Same<Sdk.RevisionList, Contract.RevisionList>,
  Same<Sdk.RolledBackAgent, Contract.RolledBackAgent>,
  Same<Sdk.ScaleAgentRequest, Contract.ScaleAgentRequest>,
  Same<Sdk.ScaledAgent, Contract.ScaledAgent>,
  Same<Sdk.SecurityEvents, Contract.SecurityEvents>,
  Same<Sdk.SecurityScan, Contract.SecurityScan>,
  Same<Sdk.StoppedAgents, Contract.StoppedAgents>,
  Same<Sdk.SystemMetrics, Contract.SystemMetrics>,
  Same<Sdk.UpdateAgentRequest, Contract.UpdateAgentRequest>,
  Same<Sdk.UpdateProfileRequest, Contract.UpdateProfileRequest>,
  Same<Sdk.UpdatedAgent, Contract.UpdatedAgent>,
  Same<Sdk.UserProfile, Contract.UserProfile>,
  Same<Sdk.ErrorEnvelope["error"]["code"], z.infer<typeof Contract.errorEnvelope>["error"]["code"]>,
];

// Does not compile where one differs.
export const same: Comparisons extends readonly true[] ? true : Comparisons = true;

test("the SDK knows every code of the contract", () => {
  assert.deepEqual(API_ERROR_CODES, Object.keys(errorCodes));
});
