// Generated requests against the OpenAPI document and the whole stack: no 5xx, and every answer fits the document.
// LAUNCHPAD_FUZZ is how many: 2500, and many more at night (10000 take about 80 s). LAUNCHPAD_FUZZ_SEED repeats a run; CI
// has a fixed seed, so that a change is judged by what it changed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import fc from "fast-check";
import { afterAll, beforeAll, test } from "vitest";
import { readTarget } from "../../packages/local-supabase/src/gateway/target.ts";
import { errorCodes } from "../../supabase/functions/_shared/contract/errors.ts";
import { api, forgedToken } from "../helpers/agents.ts";
import { type Document, type GeneratedRequest, requests } from "../helpers/openapi-requests.ts";
import { resolve } from "../helpers/schema-values.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const COUNT = Number(process.env.LAUNCHPAD_FUZZ ?? 2500);
const SEED = Number(
  process.env.LAUNCHPAD_FUZZ_SEED ?? (process.env.CI ? 4_745_163 : Date.now() % 1_000_000_000),
);
const AT_ONCE = 6;
/** Definitions that are read, changed and deleted; a deleted one is made again. */
const DEFINITIONS = 20;

const document = JSON.parse(
  readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8"),
) as Document;

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let deployed: string;
let foreign: string;
const definitions = Array.from({ length: DEFINITIONS }, (_, i) => `fuzz-${process.pid}-${i}`);
const http = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  const launch = async (user: TestUser) =>
    (
      await api(stack, user, "POST", "/agents", {
        agentName: "fuzzed",
        resources: { memory: "128Mi", cpu: "50m" },
      })
    ).body.agentId;
  deployed = await launch(owner);
  foreign = await launch(other);
  // What may run is what runs: a thousand launches must not become a thousand processes.
  await stack.sql(
    "update public.quotas set max_replicas = 1, max_agents = 1000, max_cpu = 200, max_memory = 268435456 where user_id = any ($1)",
    [[owner.id, other.id]],
  );
  for (const id of definitions) await define(id);
});
afterAll(async () => {
  http.destroy();
  for (const user of [owner, other]) await api(stack, user, "POST", "/agents/stop-all");
  await stack.stop();
});

const define = (id: string) =>
  stack.sql(
    "insert into public.agents (id, user_id, name) values ($1, $2, 'defined') on conflict (id) do nothing",
    [id, owner.id],
  );

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

function send(request: GeneratedRequest, index: number): Promise<Answer> {
  const { publishableKey, secretKey, apiUrl } = stack.info;
  const tokens = {
    owner: owner.token,
    other: other.token,
    none: undefined,
    forged: forgedToken(owner),
    garbage: "garbage",
    secret: secretKey,
  };
  const bearer = tokens[request.token];
  const named = new Map([
    ["definition", definitions[index % DEFINITIONS]],
    ["deployed", deployed],
    ["foreign", foreign],
  ]);
  const agentId = named.get(request.agent) ?? request.agent;
  const { promise, resolve: done, reject } = Promise.withResolvers<Answer>();
  const outgoing = httpRequest(apiUrl, {
    agent: http,
    method: request.method,
    path: request.path.replace("{agentId}", agentId),
    headers: {
      apikey: publishableKey,
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...request.headers,
      ...(request.body === undefined ? {} : { "content-length": Buffer.byteLength(request.body) }),
    },
  });
  outgoing.on("error", reject);
  outgoing.on("response", async (answer) => {
    try {
      let text = "";
      for await (const chunk of answer.setEncoding("utf8")) text += chunk;
      done({ status: answer.statusCode ?? 0, headers: answer.headers, text });
    } catch (error) {
      reject(error);
    }
  });
  outgoing.end(request.body);
  return promise;
}

const ajv = new Ajv2020({ strict: false, allErrors: false });
ajvFormats.default(ajv);
ajv.addSchema({ $id: "openapi", ...document });
const validators = new Map<string, ValidateFunction>();

function validatorOf(pattern: string, method: string, status: number): ValidateFunction | undefined {
  const key = `${method} ${pattern} ${status}`;
  const known = validators.get(key);
  if (known) return known;
  const declared = document.paths[pattern]?.[method.toLowerCase()]?.responses[String(status)];
  if (declared === undefined) return undefined;
  const schema = resolve(document, declared).content?.["application/json"].schema;
  const text = JSON.stringify(schema ?? {}).replaceAll('"#/', '"openapi#/');
  const made = ajv.compile(JSON.parse(text));
  validators.set(key, made);
  return made;
}

const isEnvelope = ajv.compile({ $ref: "openapi#/components/schemas/ErrorEnvelope" });

/** What is wrong with an answer, or undefined. */
function problemOf(request: GeneratedRequest, answer: Answer): string | undefined {
  const { status, headers, text } = answer;
  if (status >= 500) return `status ${status}: ${text.slice(0, 300)}`;
  if (headers["x-request-id"] === undefined) return "no x-request-id";
  // A target that can be read in several ways is refused before anything is routed.
  const expected = "cure" in readTarget(request.path) ? [204, 400] : [204];
  if (request.method === "OPTIONS") return expected.includes(status) ? undefined : `OPTIONS gives ${status}`;
  for (const name of ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]) {
    if (headers[name] === undefined) return `no ${name}`;
  }
  if (!/^application\/json/.test(String(headers["content-type"])))
    return `not JSON: ${headers["content-type"]}`;
  if (request.method === "HEAD") return text === "" ? undefined : "HEAD has a body";
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return `not JSON: ${text.slice(0, 100)}`;
  }
  if (status >= 400) {
    if (!isEnvelope(body)) return `not an error envelope: ${ajv.errorsText(isEnvelope.errors)}`;
    const { code } = (body as { error: { code: keyof typeof errorCodes } }).error;
    if (errorCodes[code].status !== status) return `${code} with status ${status}`;
  }
  if (request.pattern === undefined) return undefined;
  const validate = validatorOf(request.pattern, request.method, status);
  // An id such as `a%2Fb` or `..` names another path.
  if (validate === undefined) return [404, 405].includes(status) ? undefined : `${status} is not documented`;
  return validate(body) ? undefined : `against the document: ${ajv.errorsText(validate.errors)}`;
}

test("docs/openapi.json is what the function serves", async () => {
  const served = await (await stack.fetch("/api/openapi.json")).json();
  assert.deepEqual(served, document);
});

test(`${COUNT} generated requests: no 5xx, every answer as documented (seed ${SEED})`, async () => {
  const problems: string[] = [];
  const statuses = new Map<string, number>();
  const reached = new Set<string>();
  const started = performance.now();
  const generated = requests(document);
  let next = 0;
  let batch: GeneratedRequest[] = [];
  const take = (): { request: GeneratedRequest; index: number } | undefined => {
    if (next >= COUNT) return undefined;
    const size = 500;
    if (next % size === 0) {
      batch = fc.sample(generated, { numRuns: size, seed: SEED + next });
    }
    const request = batch[next % size]!;
    next += 1;
    return { request, index: next - 1 };
  };
  const work = async () => {
    for (let job = take(); job !== undefined && problems.length < 10; job = take()) {
      const { request, index } = job;
      const answer = await send(request, index).catch((error: Error) => error);
      const problem = answer instanceof Error ? `no answer: ${answer.message}` : problemOf(request, answer);
      if (problem !== undefined) {
        const { method, path, headers, body, token, agent } = request;
        const told = JSON.stringify({ index, method, path, headers, body, token, agent }).slice(0, 2000);
        problems.push(`${problem}\n    ${told}`);
      }
      if (answer instanceof Error) continue;
      statuses.set(String(answer.status), (statuses.get(String(answer.status)) ?? 0) + 1);
      if (answer.status < 400 && request.pattern) reached.add(`${request.method} ${request.pattern}`);
      if (request.method === "DELETE" && answer.status === 202)
        await define(definitions[index % DEFINITIONS]!);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const seconds = (performance.now() - started) / 1000;
  console.info(
    `${next} requests in ${seconds.toFixed(1)} s (${Math.round(next / seconds)}/s): ${JSON.stringify(Object.fromEntries([...statuses].sort()))}`,
  );
  assert.deepEqual(problems, []);
  // A generator that is always refused at the door would find nothing.
  assert.ok(reached.size >= 10, `only these succeeded: ${[...reached].join(", ")}`);
});
