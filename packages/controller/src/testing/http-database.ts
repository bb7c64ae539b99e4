// Serves the model of the database over HTTP, as PostgREST does.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { DeploymentReport, Tenants } from "../contract.ts";
import { type LogColumns, logRows } from "../shipping/log-columns.ts";
import type { MemoryDatabase } from "./memory-database.ts";

/** The model of the database behind HTTP, as PostgREST shows it. */
export interface HttpDatabase {
  url: string;
  server: Server;
  /** While false every call is answered 503, as a gateway does whose database is down. */
  up: boolean;
  /** The key that calls must come with; any will do while it is undefined. */
  key?: string;
  /** Ends every open connection and refuses new calls' connections until the process ends. */
  close(): void;
}

/** Serves the model at a free port. */
export async function serveDatabase(model: MemoryDatabase): Promise<HttpDatabase> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (served.key !== undefined && request.headers.apikey !== served.key)
      return answer(401, { message: "Invalid API key", hint: "Double check your API key." });
    if (!served.up) return answer(503, { code: "PGRST002", message: "no database" });
    try {
      const name = (request.url ?? "").replace("/rest/v1/rpc/", "").split("?", 1)[0] ?? "";
      answer(200, await dispatch(model, name, JSON.parse(Buffer.concat(chunks).toString("utf8"))));
    } catch (error) {
      answer(409, { code: "CONFLICT", message: (error as Error).message });
    }
  });
  const served: HttpDatabase = {
    url: "",
    server,
    up: true,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  served.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return served;
}

interface Body extends LogColumns {
  worker: string;
  max_count: number;
  lease_seconds: number;
  agent_id: string;
  held: Tenants;
  generation: number;
  lease_token: string;
  report: DeploymentReport;
  error: string | null;
  rows: unknown[];
  rollout: string;
  wave: number;
  decision: string;
  reason: string | null;
}

async function dispatch(model: MemoryDatabase, name: string, body: Body): Promise<unknown> {
  switch (name) {
    case "claim_deployments":
      return (await model.claimDeployments(body.worker, body.max_count, body.lease_seconds)).claims;
    case "heartbeat_controller":
      return await model.heartbeat(body.worker, body.lease_seconds, { ...body.report });
    case "release_worker":
      return { released: await model.releaseWorker(body.worker) };
    case "report_deployment":
      return await model.reportDeployment(body.agent_id, body.generation, body.lease_token, body.report);
    case "release_deployment":
      return await model.releaseDeployment(body.agent_id, body.lease_token, body.error ?? undefined);
    case "agent_environment":
      return await model.agentEnvironment(body.agent_id, body.generation, body.lease_token);
    case "controller_classes":
      return await model.classes();
    case "controller_installation":
      return await model.installation();
    case "advance_rollout":
      return await model.advanceRollout(body.rollout, body.wave, body.decision, body.reason ?? undefined);
    case "gone_workloads":
      return await model.goneWorkloads(body.held);
    case "ingest_log_lines":
      return await model.ingestLogs(logRows(body).map((row) => JSON.stringify(row)));
    case "ingest_agent_metrics":
      return await model.ingestMetrics(body.rows.map((row) => JSON.stringify(row)));
    default:
      throw new Error(`no function ${name}`);
  }
}
