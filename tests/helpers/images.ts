// Builds the images of deploy/images without a registry and without a daemon, and runs what is in them: buildah builds, on
// stand-ins of the two base images made of this machine's own libraries, Node and npm; a mount namespace with a read-only
// root runs.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { installed } from "./tools.ts";

const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

/** Why images cannot be built here; undefined when they can. */
export function unbuildable(): string | undefined {
  if (process.getuid?.() !== 0) return "building images takes root";
  const missing = ["buildah", "busybox", "unshare", "npm", "ldd"].filter(
    (name) => installed(name) === undefined,
  );
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

export interface ImageConfig {
  Env: string[];
  Entrypoint: string[];
  User: string;
  WorkingDir: string;
}

export class ImageBuilder implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "launchpad-images-"));
  /** The command that builds, in the place of `docker build`. */
  readonly command: string;

  constructor() {
    const npm = spawnSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).stdout.trim();
    this.#standIns();
    this.command = [
      // What is cached between steps stays in the folder too.
      "env",
      `TMPDIR=${this.#folder}`,
      ...this.#buildah("bud"),
      "--isolation=chroot",
      "--layers",
      // Of the Docker format, which has health checks.
      "--format=docker",
      "--network=host",
      `--volume=${npm}:/npm-cache:rw`,
      "--build-arg=NODE_IMAGE=localhost/node",
      "--build-arg=BASE_IMAGE=localhost/base",
    ].join(" ");
  }

  /** What the image says of itself. */
  config(image: string): ImageConfig {
    const told = JSON.parse(this.#run("inspect", "--type=image", image)) as {
      Docker: { config: ImageConfig };
    };
    return told.Docker.config;
  }

  /** Makes the image's files visible; the folder is theirs. */
  files(image: string): string {
    const container = this.#run("from", "--pull-never", image);
    return this.#run("mount", container);
  }

  /**
   * Starts a program in the files of an image, as Kubernetes does: the image's user and environment, a read-only root,
   * and the folders given, writable.
   */
  start(
    files: string,
    config: ImageConfig,
    environment: Record<string, string>,
    folders: string[],
  ): ChildProcess {
    return this.exec(files, config, config.Entrypoint, environment, folders);
  }

  exec(
    files: string,
    config: ImageConfig,
    command: string[],
    environment: Record<string, string>,
    folders: string[] = [],
  ): ChildProcess {
    for (const folder of ["/proc", "/tmp", ...folders]) mkdirSync(join(files, folder), { recursive: true });
    const script = [
      "set -e",
      'mount --bind "$0" "$0"',
      'mount -t proc proc "$0/proc"',
      'mount -o remount,ro,bind "$0"',
      ...folders.map((folder) => `mount -t tmpfs -o mode=1777 tmpfs "$0${folder}"`),
      ...(environment.AGENT_JSON === undefined
        ? []
        : ['printf %s "$AGENT_JSON" > "$0/config/agent.json"; unset AGENT_JSON']),
      `exec chroot --userspec=${config.User} "$0" "$@"`,
    ].join("\n");
    const own = Object.fromEntries(config.Env.map((line) => line.split(/=(.*)/s, 2) as [string, string]));
    return spawn("unshare", ["--mount", "sh", "-c", script, files, ...command], {
      // The machine's PATH finds mount and chroot; the programs are named by their whole path.
      env: { ...own, PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#run("rm", "--all");
    this.#run("rmi", "--all", "--force");
    spawnSync("umount", [join(this.#folder, "storage/overlay")]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #buildah(verb: string): string[] {
    return ["buildah", `--root=${this.#folder}/storage`, `--runroot=${this.#folder}/run`, verb];
  }

  #run(verb: string, ...args: string[]): string {
    const [program = "", ...own] = this.#buildah(verb);
    const { status, stdout, stderr } = spawnSync(program, [...own, ...args], { encoding: "utf8" });
    if (status !== 0) throw new Error(`buildah ${verb} failed: ${stderr.slice(-2000)}`);
    return stdout.trim();
  }

  /** `node`: Node and npm, a shell. `base`: what Node needs to run, a user 65532, nothing else. */
  #standIns(): void {
    const context = join(this.#folder, "context");
    const node = join(context, "node");
    const base = join(context, "base");
    for (const library of libraries(process.execPath)) {
      for (const image of [node, base]) put(realpathSync(library), join(image, library));
    }
    for (const image of [node, base]) {
      mkdirSync(join(image, "tmp"), { recursive: true });
      if (existsSync(CERTIFICATES)) put(CERTIFICATES, join(image, CERTIFICATES));
      mkdirSync(join(image, "etc"), { recursive: true });
      writeFileSync(
        join(image, "etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/false\n",
      );
    }
    for (const file of ["/etc/resolv.conf", "/etc/hosts"]) put(file, join(node, file));
    put(process.execPath, join(node, "usr/local/bin/node"));
    put(installed("busybox") as string, join(node, "bin/busybox"));
    symlinkSync("busybox", join(node, "bin/sh"));
    mkdirSync(join(node, "usr/bin"), { recursive: true });
    symlinkSync("/bin/busybox", join(node, "usr/bin/env"));
    const npm = dirname(dirname(realpathSync(installed("npm") as string)));
    const own = join("usr/local/lib/node_modules/npm");
    cpSync(npm, join(node, own), { recursive: true });
    symlinkSync(`/${own}/bin/npm-cli.js`, join(node, "usr/local/bin/npm"));

    // What npm needs here to reach its registry, as on the machine itself.
    const passed = ["NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "npm_config_registry"];
    const environment = {
      npm_config_cache: "/npm-cache",
      npm_config_prefer_offline: "true",
      npm_config_registry: spawnSync("npm", ["config", "get", "registry"], {
        encoding: "utf8",
      }).stdout.trim(),
      ...Object.fromEntries(passed.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    };
    const path = "ENV PATH=/usr/local/bin:/usr/bin:/bin";
    const lines = [
      "FROM scratch AS node",
      "COPY node /",
      path,
      ...Object.entries(environment).map(([name, value]) => `ENV ${name}=${JSON.stringify(value)}`),
      "FROM scratch AS base",
      "COPY base /",
      path,
      "USER 65532",
    ];
    writeFileSync(join(context, "Containerfile"), `${lines.join("\n")}\n`);
    for (const image of ["node", "base"]) {
      this.#run(
        "bud",
        "--isolation=chroot",
        "--quiet",
        "--target",
        image,
        "--tag",
        `localhost/${image}`,
        context,
      );
    }
    rmSync(context, { recursive: true });
  }
}

function put(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { dereference: true });
}

/** The shared libraries of a program, its loader included. */
function libraries(program: string): string[] {
  const { stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  return [...stdout.matchAll(/(\/\S+)/g)]
    .map(([, path]) => path as string)
    .filter((path) => basename(path) !== "node");
}
