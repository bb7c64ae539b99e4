// Classes of users in the database: operators alone write them, every field is judged, limits follow, controllers learn.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const call = async (name: string, args: Record<string, unknown> = {}) => {
  const { status, body } = await rpc(db, service, name, args);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};
const set = (name: string, value: Record<string, unknown>) => call("fleet_set_class", { name, class: value });
const assign = (account: string, name: string) => call("fleet_assign_class", { account, class: name });
const quota = async (id: string) =>
  (
    await db.pool.query(
      "select agent_class, max_agents, max_replicas, max_cpu, max_memory::text from public.quotas where user_id = $1",
      [id],
    )
  ).rows[0];
const version = async () => (await call("controller_classes")).version as number;

const GVISOR = {
  description: "Untrusted tenants",
  image: "registry.example.com:5000/team/agent-runtime:1.2.3@sha256:".concat("a".repeat(64)),
  runtimeClassName: "gvisor",
  priorityClassName: "agents-low",
  nodeSelector: { "example.com/pool": "sandbox" },
  tolerations: [
    { key: "sandbox.gke.io/runtime", operator: "Equal", value: "gvisor", effect: "NoSchedule" },
    { operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 },
  ],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchExpressions: [{ key: "kubernetes.io/arch", operator: "In", values: ["amd64"] }],
            matchFields: [{ key: "metadata.name", operator: "NotIn", values: ["node-1"] }],
          },
        ],
      },
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 10, preference: { matchExpressions: [{ key: "cores", operator: "Gt", values: ["8"] }] } },
      ],
    },
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 1,
          podAffinityTerm: {
            topologyKey: "kubernetes.io/hostname",
            labelSelector: { matchLabels: { team: "a" } },
            namespaces: ["agents-1"],
            matchLabelKeys: ["tier"],
            mismatchLabelKeys: ["example.com/zone"],
          },
        },
      ],
    },
  },
  labels: { "example.com/tier": "untrusted" },
  annotations: { "example.com/note": "any text: 'also' this" },
  hostUsers: false,
  egress: { allowCidrs: ["0.0.0.0/0", "2001:db8::/32"], exceptCidrs: ["203.0.113.0/24"], ports: [443, 8443] },
  limits: { maxAgents: 2, maxReplicas: 3, maxCpu: "1500m", maxMemory: "2Gi", ephemeralStorage: "512Mi" },
};

describe("a class", () => {
  test("is kept as it was set, and listed with the number of its users, default first", async () => {
    const made = await set("gvisor", GVISOR);
    assert.deepEqual(made.class, GVISOR);
    await assign(alice, "gvisor");
    const classes = await call("fleet_classes");
    assert.deepEqual(
      classes.map(({ name, users }: Record<string, unknown>) => [name, users]),
      [
        ["default", 1],
        ["gvisor", 1],
      ],
    );
    await assign(alice, "default");
  });

  test("is replaced as a whole, deleted when no user has it, and never `default`", async () => {
    await set("small", { runtimeClassName: "kata", labels: { a: "b" } });
    assert.deepEqual((await set("small", { labels: { c: "d" } })).class, { labels: { c: "d" } });
    await assign(bob, "small");
    const used = await rpc(db, service, "fleet_delete_class", { name: "small" });
    assert.equal(used.status, 409);
    assert.match(used.body.message, /1 user has the class small/);
    await assign(bob, "default");
    assert.deepEqual(await call("fleet_delete_class", { name: "small" }), { deleted: "small" });
    assert.equal((await rpc(db, service, "fleet_delete_class", { name: "small" })).status, 404);
    assert.equal((await rpc(db, service, "fleet_delete_class", { name: "default" })).status, 400);
  });

  for (const [field, value] of [
    ["hostNetwork", { hostNetwork: true }],
    ["securityContext", { securityContext: { privileged: true } }],
    ["image", { image: "Bad Image" }],
    ["image", { image: "x:tag with space" }],
    ["image", { image: "" }],
    ...[
      "registry.example.com/team/a..b:1",
      "registry.example.com/a_.b",
      "a___b",
      "example..com/agent",
      "registry-.example.com/agent:1",
      "agent:a:b",
      "agent:-1",
      `agent:${"t".repeat(129)}`,
      "agent@sha256:abc",
      "f".repeat(64),
      "registry.example.com/Team/agent",
      `${"a".repeat(256)}:1`,
      "agent:1\nx",
    ].map((image) => ["image", { image }] as const),
    ["runtimeClassName", { runtimeClassName: "GVisor" }],
    ["priorityClassName", { priorityClassName: "system-node-critical" }],
    ["nodeSelector.a b", { nodeSelector: { "a b": "c" } }],
    ["nodeSelector.pool", { nodeSelector: { pool: "-x" } }],
    ["nodeSelector.pool", { nodeSelector: { pool: 3 } }],
    ["labels.agent-launchpad.dev/agent", { labels: { "agent-launchpad.dev/agent": "victim" } }],
    ["labels.app.kubernetes.io/managed-by", { labels: { "app.kubernetes.io/managed-by": "x" } }],
    ["labels.pod-template-hash", { labels: { "pod-template-hash": "x" } }],
    ["labels.team", { labels: { team: "x".repeat(64) } }],
    ["labels", { labels: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, "v"])) }],
    ["annotations.-x", { annotations: { "-x": "v" } }],
    ["annotations.agent-launchpad.dev/paused", { annotations: { "agent-launchpad.dev/paused": "true" } }],
    ["annotations.n", { annotations: { n: true } }],
    ["tolerations", { tolerations: {} }],
    ["tolerations[0].effect", { tolerations: [{ key: "a", effect: "Always" }] }],
    ["tolerations[0].key", { tolerations: [{ effect: "NoSchedule" }] }],
    ["tolerations[1].value", { tolerations: [{ key: "a" }, { key: "a", operator: "Exists", value: "x" }] }],
    ["tolerations[0].tolerationSeconds", { tolerations: [{ key: "a", tolerationSeconds: 5 }] }],
    ["tolerations[0].seconds", { tolerations: [{ key: "a", seconds: 5 }] }],
    ["affinity.nodeAffinities", { affinity: { nodeAffinities: {} } }],
    [
      "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
      {
        affinity: {
          nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } },
        },
      },
    ],
    [
      "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchExpressions[0].operator",
      {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: "a", operator: "Equals" }] }],
            },
          },
        },
      },
    ],
    [
      "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
      {
        affinity: {
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 0, podAffinityTerm: { topologyKey: "a" } },
            ],
          },
        },
      },
    ],
    [
      "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
      { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{}] } } },
    ],
    ["annotations.kubernetes.io/config.mirror", { annotations: { "kubernetes.io/config.mirror": "x" } }],
    [
      "annotations.container.apparmor.security.beta.kubernetes.io/agent",
      { annotations: { "container.apparmor.security.beta.kubernetes.io/agent": "unconfined" } },
    ],
    [
      "annotations.seccomp.security.alpha.kubernetes.io/pod",
      { annotations: { "seccomp.security.alpha.kubernetes.io/pod": "unconfined" } },
    ],
    [
      "annotations.scheduler.alpha.kubernetes.io/tolerations",
      { annotations: { "scheduler.alpha.kubernetes.io/tolerations": "x" } },
    ],
    ...(
      [
        ["matchExpressions[0].values", { matchExpressions: [{ key: "a", operator: "Gt", values: ["-8"] }] }],
        [
          "matchFields[0].key",
          { matchFields: [{ key: "metadata.namespace", operator: "In", values: ["x"] }] },
        ],
        [
          "matchFields[0].operator",
          { matchFields: [{ key: "metadata.name", operator: "Exists", values: ["x"] }] },
        ],
        [
          "matchFields[0].values",
          { matchFields: [{ key: "metadata.name", operator: "In", values: ["a", "b"] }] },
        ],
        ["matchFields[0].values", { matchFields: [{ key: "metadata.name", operator: "In", values: ["A"] }] }],
      ] as const
    ).map(
      ([field, term]) =>
        [
          `affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].${field}`,
          {
            affinity: {
              nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } },
            },
          },
        ] as const,
    ),
    ...(
      [
        ["namespaces", { namespaces: ["a.b"] }],
        ["matchLabelKeys", { matchLabelKeys: ["a"] }],
        ["mismatchLabelKeys", { labelSelector: {}, mismatchLabelKeys: ["a b"] }],
        ["matchLabelKeys", { labelSelector: {}, matchLabelKeys: ["a"], mismatchLabelKeys: ["a"] }],
      ] as const
    ).map(
      ([field, term]) =>
        [
          `affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].${field}`,
          {
            affinity: {
              podAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone", ...term }],
              },
            },
          },
        ] as const,
    ),
    ["hostUsers", { hostUsers: "no" }],
    ["egress.allowCidrs", { egress: { allowCidrs: ["010.0.0.0/8"] } }],
    ["egress.allowCidrs", { egress: { allowCidrs: ["10.0.0.0/08"] } }],
    ["egress.exceptCidrs", { egress: { exceptCidrs: ["::ffff:0:0/96"] } }],
    ["egress.exceptCidrs", { egress: { exceptCidrs: ["::ffff:10.0.0.0/104"] } }],
    ["egress.allowCidrs", { egress: { allowCidrs: ["10.0.0.1/8"] } }],
    ["egress.allowCidrs", { egress: { allowCidrs: ["10/8"] } }],
    ["egress.exceptCidrs", { egress: { exceptCidrs: ["example.com"] } }],
    ["egress.ports", { egress: { ports: [0] } }],
    ["egress.ports", { egress: { ports: ["443"] } }],
    ["egress.cidrs", { egress: { cidrs: [] } }],
    ["limits.maxAgents", { limits: { maxAgents: -1 } }],
    ["limits.maxCpu", { limits: { maxCpu: "lots" } }],
    ["limits.maxMemory", { limits: { maxMemory: "1Ei" } }],
    ["limits.ephemeralStorage", { limits: { ephemeralStorage: "1Mi" } }],
    ["description", { description: "x".repeat(501) }],
    ["class", { annotations: { a: "x".repeat(40_000) } }],
  ] as const) {
    test(`with a wrong ${field} is refused by that field: ${JSON.stringify(value).slice(0, 60)}`, async () => {
      const { status, body } = await rpc(db, service, "fleet_set_class", { name: "wrong", class: value });
      assert.equal(status, 400, JSON.stringify(body));
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    });
  }

  test("may name an image in each spelling that nodes read", async () => {
    for (const image of [
      "agent",
      "agent:a..b",
      "a__b/c--d/e.f:1_2-3",
      "localhost:5000/agent",
      "[2001:db8::1]:5000/agent:1",
      "REGISTRY.example.com/agent",
      `agent@sha256:${"0".repeat(64)}`,
    ]) {
      assert.equal((await set("images", { image })).class.image, image);
    }
    await call("fleet_delete_class", { name: "images" });
  });

  test("may name each network in its usual spelling", async () => {
    const allowCidrs = ["0.0.0.0/0", "::/0", "10.0.0.1/32", "2001:DB8::/32", "100.64.0.0/10", "::1/128"];
    assert.deepEqual((await set("networks", { egress: { allowCidrs } })).class.egress.allowCidrs, allowCidrs);
    await call("fleet_delete_class", { name: "networks" });
  });

  test("needs a name that Kubernetes takes, and to be an object", async () => {
    for (const name of ["", "GVisor", "a".repeat(64), "-a", null]) {
      const { status, body } = await rpc(db, service, "fleet_set_class", { name, class: {} });
      assert.equal(status, 400, String(name));
      assert.deepEqual(Object.keys(JSON.parse(body.details)), ["name"]);
    }
    for (const value of [null, [], 3])
      assert.equal((await rpc(db, service, "fleet_set_class", { name: "x", class: value })).status, 400);
  });

  test("is judged in a statement of the SQL editor too", async () => {
    await assert.rejects(
      db.pool.query(
        "insert into private.agent_classes (name, runtime_class_name) values ('x', 'Not A Name')",
      ),
      /runtimeClassName/,
    );
  });
});

describe("the limits of a class", () => {
  test("are the user's when they get the class, follow it, and give way to the user's own", async () => {
    const carol = await createUser(db);
    const own = await createUser(db);
    await set("free", { limits: { maxAgents: 1, maxMemory: "512Mi" } });
    await assign(carol, "free");
    await assign(own, "free");
    const unlimited = { max_replicas: 50, max_cpu: 32000 };
    const free = { agent_class: "free", max_agents: 1, max_memory: "536870912", ...unlimited };
    assert.deepEqual(await quota(carol), free);
    await db.pool.query("update public.quotas set max_agents = 7 where user_id = $1", [own]);
    await set("free", { limits: { maxAgents: 2, maxReplicas: 4 } });
    assert.deepEqual(await quota(carol), {
      agent_class: "free",
      max_agents: 2,
      max_replicas: 4,
      max_cpu: 32000,
      max_memory: "68719476736",
    });
    assert.equal((await quota(own)).max_agents, 7);
    await assign(carol, "default");
    assert.deepEqual(await quota(carol), {
      agent_class: "default",
      max_agents: 50,
      max_memory: "68719476736",
      ...unlimited,
    });
    await assign(own, "default");
    assert.equal((await quota(own)).max_agents, 7, "what is the user's own stays");
  });

  test("of `default` are those of new users, and of classes that have none", async () => {
    const dave = await createUser(db);
    await set("bare", {});
    await assign(dave, "bare");
    await set("default", { limits: { maxAgents: 9 } });
    assert.equal((await quota(dave)).max_agents, 9);
    assert.equal((await quota(await createUser(db))).max_agents, 9);
    const kept = await set("default", {});
    assert.equal(kept.class.limits.maxAgents, 9, "the base of all others keeps what is left out");
    await set("default", { limits: { maxAgents: 50 } });
    assert.equal((await quota(dave)).max_agents, 50);
  });

  test("are refused to be passed like any quota", async () => {
    const erin = await createUser(db);
    await set("none", { limits: { maxAgents: 0 } });
    await assign(erin, "none");
    const { status } = await rpc(db, user(erin), "launch_agent", { definition: { agentName: "bot" } });
    assert.equal(status, 403);
  });
});

describe("who may", () => {
  test("a user reads the name of their own class, and of nobody else's", async () => {
    await set("gvisor", GVISOR);
    await assign(bob, "gvisor");
    const read = (id: string) =>
      db.asUser(
        { id } as never,
        async (client) => (await client.query("select user_id, agent_class from public.quotas")).rows,
      );
    assert.deepEqual(await read(bob), [{ user_id: bob, agent_class: "gvisor" }]);
    assert.deepEqual(await read(alice), [{ user_id: alice, agent_class: "default" }]);
    await assign(bob, "default");
  });

  test("no user and no anonymous caller sets, lists, deletes or assigns a class, or reads the table", async () => {
    for (const who of [anon, user(alice)]) {
      for (const [name, args] of [
        ["fleet_classes", {}],
        ["fleet_set_class", { name: "mine", class: {} }],
        ["fleet_delete_class", { name: "gvisor" }],
        ["fleet_assign_class", { account: alice, class: "gvisor" }],
        ["controller_classes", {}],
      ] as const) {
        assert.equal((await rpc(db, who, name, args)).status, 403, name);
      }
    }
    for (const sql of [
      "update public.quotas set agent_class = 'gvisor'",
      "select * from private.agent_classes",
      "select private.fleet_assign_class('x', 'gvisor')",
    ]) {
      await assert.rejects(
        db.asUser({ id: alice } as never, (client) => client.query(sql)),
        /permission denied/,
      );
    }
    assert.equal((await quota(alice)).agent_class, "default");
  });

  test("a user is named by id or e-mail address; an unknown one, and an unknown class, are 404", async () => {
    const { rows } = await db.superuser.query("select email from auth.users where id = $1", [bob]);
    assert.equal((await assign(rows[0].email.toUpperCase(), "gvisor")).userId, bob);
    assert.equal((await assign(bob, "default")).former, "gvisor");
    for (const [account, name] of [
      ["nobody@example.com", "gvisor"],
      ["00000000-0000-4000-8000-000000000000", "gvisor"],
      [bob, "unheard"],
    ]) {
      assert.equal((await rpc(db, service, "fleet_assign_class", { account, class: name })).status, 404);
    }
    await assert.rejects(
      db.pool.query("update public.quotas set agent_class = 'unheard' where user_id = $1", [bob]),
      /launchpad fleet classes list/,
    );
  });
});

describe("a controller", () => {
  test("gets the class with a claim, and learns of each change by a number in its heartbeat", async () => {
    await assign(alice, "gvisor");
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    const claimed = (await call("claim_deployments", { worker: "w" })).find(
      ({ agentId }: { agentId: string }) => agentId === body.agentId,
    );
    const { description: _d, limits: _l, ...pods } = GVISOR;
    assert.deepEqual(claimed.class, { ...pods, name: "gvisor", ephemeralStorageBytes: 512 * 1024 ** 2 });
    const beat = async () =>
      (await call("heartbeat_controller", { worker: "w", lease_seconds: 15, report: {} })).classesVersion;
    assert.equal(await beat(), claimed.classesVersion);
    assert.equal(await version(), claimed.classesVersion);

    await set("gvisor", { ...GVISOR, runtimeClassName: "kata" });
    assert.ok((await beat()) > claimed.classesVersion);
    const known = await call("controller_classes");
    assert.equal(known.classes.gvisor.runtimeClassName, "kata");
    assert.deepEqual(known.users, { [alice]: "gvisor" });

    const before = await beat();
    await assign(alice, "default");
    assert.ok((await beat()) > before);
    assert.deepEqual((await call("controller_classes")).users, {});
    const settled = await beat();
    await assign(alice, "default");
    await createUser(db);
    assert.equal(await beat(), settled, "nothing changed");
  });
});
