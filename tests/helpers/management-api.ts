// A double of Supabase's management API for the real CLI: takes functions and secrets as it does, and keeps them to look at.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** The project of the double. */
export const PROJECT_REF = "a".repeat(20);

export interface DeployedFunction {
  metadata: Record<string, unknown>;
  /** The text of each uploaded file, by its path in the project. */
  files: Map<string, string>;
}

export interface ManagementApi {
  /** A folder with the parts of the repository that the CLI reads: run it there. */
  project: string;
  /** What the CLI finds its account and this API by. */
  env: NodeJS.ProcessEnv;
  functions: Map<string, DeployedFunction>;
  secrets: Map<string, string>;
  /** `METHOD /path` of every call. */
  calls: string[];
  /** Runs the real CLI and returns what it said; rejects with that when it fails. */
  supabase(...args: string[]): Promise<string>;
  /** Writes the uploaded files of a function below `folder`. */
  unpack(name: string, folder: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the double.
 * @param parts what else of the repository the project's folder needs, beside what belongs to the functions
 */
export async function startManagementApi(parts: readonly string[] = []): Promise<ManagementApi> {
  const functions = new Map<string, DeployedFunction>();
  const secrets = new Map<string, string>();
  const calls: string[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const url = new URL(incoming.url ?? "/", "http://local");
    calls.push(`${incoming.method} ${url.pathname}`);
    const body = await bodyOf(incoming);
    const { status, answer } = await reply(incoming.method ?? "GET", url, body, { functions, secrets });
    outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const folder = await mkdtemp(join(tmpdir(), "launchpad-hosted-"));
  const project = join(folder, "project");
  // The configuration names the mails' templates, and the CLI reads them whatever it is asked to do.
  for (const part of ["supabase/config.toml", "supabase/templates", "supabase/functions", ...parts]) {
    await mkdir(dirname(join(project, part)), { recursive: true });
    await cp(join(root, part), join(project, part), { recursive: true });
  }
  const profile = join(folder, "profile.yaml");
  await writeFile(
    profile,
    `name: local\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: example.test\n`,
  );
  const env = {
    PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
    HOME: folder,
    SUPABASE_PROFILE: profile,
    SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}`,
    SUPABASE_YES: "true",
    SUPABASE_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    NO_COLOR: "1",
  };

  return {
    project,
    env,
    functions,
    secrets,
    calls,
    async supabase(...args) {
      const cli = spawn(join(root, "node_modules/.bin/supabase"), args, {
        cwd: project,
        env,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      for (const stream of [cli.stdout, cli.stderr]) {
        stream.on("data", (chunk: Buffer) => {
          output += chunk;
        });
      }
      const [code] = (await once(cli, "close")) as [number | null];
      if (code !== 0) throw new Error(`supabase ${args.join(" ")} ended with ${code}: ${output}`);
      return output;
    },
    async unpack(name, into) {
      for (const [path, text] of functions.get(name)?.files ?? []) {
        await mkdir(dirname(join(into, path)), { recursive: true });
        await writeFile(join(into, path), text);
      }
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface Kept {
  functions: Map<string, DeployedFunction>;
  secrets: Map<string, string>;
}

async function reply(
  method: string,
  url: URL,
  body: { text: string; form: FormData | undefined },
  { functions, secrets }: Kept,
): Promise<{ status: number; answer: unknown }> {
  const path = url.pathname.replace(`/v1/projects/${PROJECT_REF}`, "");
  if (method === "POST" && path === "/functions/deploy" && body.form !== undefined) {
    const name = url.searchParams.get("slug") ?? "";
    functions.set(name, await readUpload(body.form));
    return {
      status: 201,
      answer: { id: name, slug: name, name, status: "ACTIVE", version: 1, created_at: 1, updated_at: 1 },
    };
  }
  if (method === "POST" && path === "/secrets") {
    for (const { name, value } of JSON.parse(body.text) as { name: string; value: string }[])
      secrets.set(name, value);
    return { status: 201, answer: {} };
  }
  if (method === "GET" && path === "") {
    const answer = {
      id: PROJECT_REF,
      ref: PROJECT_REF,
      organization_id: "o",
      organization_slug: "o",
      name: "launchpad",
      region: "eu-central-1",
      created_at: "2026-01-01T00:00:00Z",
      status: "ACTIVE_HEALTHY",
      database: { host: "db.example.test", version: "17.4.1", postgres_engine: "17", release_channel: "ga" },
    };
    return { status: 200, answer };
  }
  if (method === "GET" && path === "/api-keys") {
    const key = (name: string) => ({ name, api_key: `sb_${name}_double`, type: name, id: name });
    return { status: 200, answer: [key("publishable"), key("secret"), key("anon"), key("service_role")] };
  }
  return { status: 200, answer: [] };
}

async function readUpload(form: FormData): Promise<DeployedFunction> {
  const deployed: DeployedFunction = { metadata: {}, files: new Map() };
  for (const [name, part] of form) {
    if (name === "metadata") {
      deployed.metadata = JSON.parse(typeof part === "string" ? part : await part.text());
    } else if (typeof part !== "string") deployed.files.set(part.name, await part.text());
  }
  return deployed;
}

async function bodyOf(incoming: IncomingMessage): Promise<{ text: string; form: FormData | undefined }> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const type = incoming.headers["content-type"] ?? "";
  const form = type.startsWith("multipart/form-data")
    ? await new Response(bytes, { headers: { "content-type": type } }).formData()
    : undefined;
  return { text: form === undefined ? bytes.toString("utf8") : "", form };
}
