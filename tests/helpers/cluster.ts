// A real Kubernetes control plane for tests (tests/cluster), on free loopback ports, without Docker and root.
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { glob, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "../..");
const MODULE = join(ROOT, "tests/cluster");
const KUBERNETES = /k8s\.io\/kubernetes (v[\d.]+)/;
const run = promisify(execFile);

/** The line that the program prints when everything works. */
export interface ClusterInfo {
  /** Path of a kubeconfig of an administrator. */
  kubeconfig: string;
  url: string;
  port: number;
  /** Unix socket of the control endpoint. */
  control: string;
  /** Folder of ca.crt, admin.{crt,key} and proxy.{crt,key} (for a server at 127.0.0.1). */
  pki: string;
  dataDir: string;
  pid: number;
  readyMs: number;
  phases: Record<string, number>;
}

/** What runs in place of a container image; images that are not named are pretended. */
export interface ProcessImage {
  command: string[];
  args?: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** Paths inside the image → real ones. */
  paths?: Record<string, string>;
}

export interface ClusterNode {
  name: string;
  zone: string;
  cpu?: string;
  memory?: string;
  pods?: number;
  labels?: Record<string, string>;
}

export interface ClusterOptions {
  /** Kept when given; else a temporary one that stop() removes. */
  dataDir?: string;
  etcdDelayMs?: number;
  nodes?: ClusterNode[];
  images?: Record<string, ProcessImage>;
  pretendDelayMs?: number;
  /** First and longest pause before a container or an image is tried again. */
  backoffMs?: number;
  maxBackoffMs?: number;
  apiServerFlags?: string[];
  controllerManagerFlags?: string[];
}

/** How pretended pods behave; later rules win over earlier ones, an empty field of the match matches all. */
export interface BehaviourRule {
  namespace?: string;
  pod?: string;
  /** Label selector. */
  selector?: string;
  behaviour?:
    | "run"
    | "image-pull-backoff"
    | "crash-loop"
    | "oom-killed"
    | "exit-78"
    | "never-ready"
    | "unready-after"
    | "not-live";
  startDelayMs?: number;
  afterMs?: number;
  exitCode?: number;
  lines?: string[];
  logEveryMs?: number;
  cpu?: string;
  memory?: string;
  ignoreSigterm?: boolean;
  /** Pretended although its image is mapped to a process. */
  pretend?: boolean;
}

export interface NodePod {
  namespace: string;
  name: string;
  uid: string;
  node: string;
  ip: string;
  /** Where its process listens on this machine. */
  address?: string;
  pids?: number[];
}

export type Component = "kube-apiserver" | "kube-controller-manager" | "kube-scheduler";

export interface TestCluster {
  /** Of the current run: after restart() only `control`, `pid`, `readyMs` and `phases` differ. */
  readonly info: ClusterInfo;
  setEtcdDelay(ms: number): Promise<void>;
  /** Replaces all rules. */
  setRules(rules: BehaviourRule[]): Promise<void>;
  /** Cuts these nodes off from the API server, and no others; their pods run on. */
  setAway(nodes: string[]): Promise<void>;
  /** Ends a container as if it had failed on its own; a process is killed. */
  crash(pod: { namespace: string; pod: string; exitCode?: number; message?: string }): Promise<void>;
  /** Stops (SIGTERM), kills, starts, freezes or thaws one component. */
  component(name: Component, action: "start" | "stop" | "kill" | "freeze" | "thaw"): Promise<void>;
  /** What the nodes know, behind the API's back. */
  state(): Promise<{ pods: NodePod[]; pids: Record<Component, number> }>;
  /** Ends the whole program (by default as a crash) and starts it on the same data and port. */
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Ends the program; nothing is left. */
  stop(): Promise<void>;
}

/** Why clusters cannot be built here, or undefined when they can. */
export async function whyNoCluster(): Promise<string | undefined> {
  if (process.platform !== "linux") return "the test cluster runs on Linux only";
  try {
    await run("go", ["version"]);
    return undefined;
  } catch {
    return "Go is not installed (go.dev/dl); the test cluster is built with it";
  }
}

/** Whether clusters can be built here. */
export async function goAvailable(): Promise<boolean> {
  return (await whyNoCluster()) === undefined;
}

/**
 * Builds the program when its sources changed since the last build.
 * @returns the path of the program
 * @throws {Error} saying what is missing, or what the compiler said
 */
export async function buildCluster(tell: (line: string) => void = () => {}): Promise<string> {
  const missing = await whyNoCluster();
  if (missing !== undefined) throw new Error(missing);
  const folder = join(ROOT, ".cache/cluster", await sourcesHash());
  const binary = join(folder, "testcluster");
  if (existsSync(binary)) return binary;
  tell("building the test cluster; the first time takes several minutes");
  const begun = performance.now();
  await mkdir(folder, { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const goMod = await readFile(join(MODULE, "go.mod"), "utf8");
  const version = KUBERNETES.exec(goMod)?.[1] ?? "v0.0.0";
  const [major, minor] = version.slice(1).split(".");
  const stamp = "-X k8s.io/component-base/version.git";
  await run(
    "go",
    [
      "build",
      "-trimpath",
      "-ldflags",
      `-s -w ${stamp}Version=${version} ${stamp}Major=${major} ${stamp}Minor=${minor}`,
      "-o",
      fresh,
      ".",
    ],
    { cwd: MODULE, env: { ...process.env, CGO_ENABLED: "0" }, maxBuffer: 16 << 20 },
  );
  await rename(fresh, binary);
  await forgetOld(join(ROOT, ".cache/cluster"));
  tell(`built in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  return binary;
}

/** A build of sources that changed since is 120 MB of no use; one that is young may be running. */
async function forgetOld(cache: string): Promise<void> {
  const dayAgo = Date.now() - 86_400_000;
  for (const entry of await readdir(cache)) {
    const folder = join(cache, entry);
    if ((await stat(folder)).mtimeMs < dayAgo) await rm(folder, { recursive: true, force: true });
  }
}

async function sourcesHash(): Promise<string> {
  const hash = createHash("sha256").update((await run("go", ["version"])).stdout);
  const files = await Array.fromAsync(glob(["**/*.go", "go.mod", "go.sum"], { cwd: MODULE }));
  for (const file of files.sort()) hash.update(`${file}\n`).update(await readFile(join(MODULE, file)));
  return hash.digest("hex").slice(0, 16);
}

/** Starts a control plane with fake nodes and waits until it takes pods and serves metrics. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const binary = await buildCluster((line) => process.stderr.write(`${line}\n`));
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cluster-"));
  const folders = [
    `--data-dir=${options.dataDir ?? join(folder, "data")}`,
    `--run-dir=${join(folder, "run")}`,
  ];
  const remove = () => rm(folder, { recursive: true, force: true });
  let current = await startProgram(binary, [...folders, ...flagsOf(options)]).catch(async (error) => {
    await remove();
    throw error;
  });
  const control = (method: string, path: string, body?: unknown) =>
    callControl(current.info.control, method, path, body);
  return {
    get info() {
      return current.info;
    },
    setEtcdDelay: async (ms) => void (await control("PUT", "/etcd-delay", { ms })),
    setRules: async (rules) => void (await control("PUT", "/rules", { rules })),
    setAway: async (nodes) => void (await control("PUT", "/away", { nodes })),
    crash: async (pod) => void (await control("POST", "/crash", { exitCode: 1, ...pod })),
    component: async (name, action) => void (await control("POST", "/component", { name, action })),
    state: async () => JSON.parse(await control("GET", "/state")),
    restart: async (signal = "SIGKILL") => {
      const { port } = current.info;
      await current.end(signal);
      current = await startProgram(binary, [...folders, `--port=${port}`, ...flagsOf(options)]);
    },
    stop: async () => {
      await current.end("SIGTERM");
      await remove();
    },
  };
}

function flagsOf(options: ClusterOptions): string[] {
  const flags: string[] = [];
  const add = (name: string, value: unknown) => {
    if (value !== undefined) flags.push(`--${name}=${value}`);
  };
  const milliseconds = (value: number | undefined) => (value === undefined ? undefined : `${value}ms`);
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  add("etcd-delay", milliseconds(options.etcdDelayMs));
  add("nodes", json(options.nodes));
  add("images", json(options.images));
  add("pretend-delay", milliseconds(options.pretendDelayMs));
  add("backoff", milliseconds(options.backoffMs));
  add("max-backoff", milliseconds(options.maxBackoffMs));
  for (const flag of options.apiServerFlags ?? []) add("api-server-flag", flag);
  for (const flag of options.controllerManagerFlags ?? []) add("controller-manager-flag", flag);
  return flags;
}

async function startProgram(
  binary: string,
  flags: string[],
): Promise<{ info: ClusterInfo; end(signal: NodeJS.Signals): Promise<void> }> {
  // Standard input stays open as long as this process lives: the program ends with it.
  const child = spawn(binary, flags, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-20_000);
  });
  const line = once(createInterface(child.stdout), "line").then(([text]) => String(text));
  const first = await Promise.race([line, ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`the test cluster did not start:\n${said}`);
  return {
    info: JSON.parse(first),
    end: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
    },
  };
}

function callControl(socketPath: string, method: string, path: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => {
        if ((response.statusCode ?? 500) < 300) resolve(text);
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${text.trim()}`));
      });
    });
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
