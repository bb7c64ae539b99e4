// Every realtime sample of both specifications, word for word, through supabase-js. Each test has its heading's name.
import assert from "node:assert/strict";
import type { SupabaseClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { Inbox } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
/** What the samples call their client: the signed-in owner's. */
let supabase: SupabaseClient;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  supabase = owner.client;
});
afterAll(async () => {
  await Promise.all([owner, other].map(({ client }) => client.removeAllChannels()));
  await stack.stop();
});

/** A console whose lines a test can wait for. */
function listener() {
  const inbox = new Inbox<unknown[]>();
  return { inbox, console: { log: (...line: unknown[]) => inbox.push(line) } };
}

/** Resolves when the sample's channel is subscribed: the samples themselves do not wait. */
async function joined(subscription: { state: string }): Promise<void> {
  while (subscription.state !== "joined") await new Promise((resolve) => setTimeout(resolve, 5));
}

let sequence = 0;
async function insertMetrics(user: TestUser): Promise<number> {
  const [row] = await stack.sql<{ id: string }>(
    `insert into public.agent_metrics (agent_id, user_id, "timestamp", replica, sequence, cpu_usage, memory_usage)
     values ('agent-123abc', $1, now(), 'samples', $2, 0.25, 1073741824) returning id`,
    [user.id, ++sequence],
  );
  return Number(row?.id);
}

async function insertLog(user: TestUser, message: string): Promise<void> {
  await stack.sql(
    `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
     values ('agent-123abc', $1, now(), 'INFO', $2, 'agent', 'samples', $3)`,
    [user.id, message, ++sequence],
  );
}

describe("Real-time Metrics with Supabase", () => {
  test("the JavaScript example shows the owner's new metrics, and nobody else's", async () => {
    const { inbox, console } = listener();
    const subscription = supabase
      .channel("agent-metrics")
      .on(
        "postgres_changes",
        {
          event: "INSERT",
          schema: "public",
          table: "agent_metrics",
          filter: "agent_id=eq.agent-123abc",
        },
        (payload) => {
          console.log("New metrics:", payload.new);
        },
      )
      .subscribe();
    await joined(subscription);
    await insertMetrics(other);
    const id = await insertMetrics(owner);
    const [label, row] = (await inbox.first()) as [string, Record<string, unknown>];
    assert.equal(label, "New metrics:");
    assert.deepEqual(
      [row.id, row.user_id, row.cpu_usage, row.memory_usage, row.network_in],
      [id, owner.id, 0.25, 1073741824, null],
    );
    assert.equal(inbox.all.length, 1);
    await subscription.unsubscribe();
  });

  test("POST /realtime/v1/channels says where and whether", async () => {
    const answer = await stack.fetch("/realtime/v1/channels", {
      method: "POST",
      token: owner.token,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ topic: "realtime:public:agent_metrics:agent_id=eq.agent-123abc" }),
    });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), {
      websocket_url: `${stack.info.realtimeUrl}/websocket`,
      topic: "realtime:public:agent_metrics:agent_id=eq.agent-123abc",
      can_join: true,
      user_id: owner.id,
      private: false,
      postgres_changes: [
        { event: "*", schema: "public", table: "agent_metrics", filter: "agent_id=eq.agent-123abc" },
      ],
    });
  });

  for (const [why, body, token] of [
    ["a table that is not published", { topic: "realtime:public:quotas" }, "owner"],
    ["a filter on no column", { topic: "realtime:public:agent_metrics:nope=eq.1" }, "owner"],
    ["no topic", {}, "owner"],
    ["a private topic of somebody else", { topic: "user:somebody", private: true }, "owner"],
    ["a table that the caller may not read", { topic: "realtime:public:agent_metrics" }, undefined],
  ] as const) {
    test(`POST /realtime/v1/channels refuses ${why} with REAL_TIME_SUBSCRIPTION_FAILED`, async () => {
      const answer = await stack.fetch("/realtime/v1/channels", {
        method: "POST",
        ...(token ? { token: owner.token } : {}),
        body: JSON.stringify(body),
      });
      const { error } = (await answer.json()) as { error: { code: string; message: string } };
      assert.deepEqual([answer.status, error.code], [422, "REAL_TIME_SUBSCRIPTION_FAILED"], error.message);
    });
  }
});

describe("Real-time Log Streaming with Supabase", () => {
  test("the example shows the owner's new log lines", async () => {
    const { inbox, console } = listener();
    const logSubscription = supabase
      .channel("agent-logs")
      .on(
        "postgres_changes",
        {
          event: "INSERT",
          schema: "public",
          table: "agent_logs",
          filter: "agent_id=eq.agent-123abc",
        },
        (payload) => {
          console.log("New log:", payload.new);
        },
      )
      .subscribe();
    await joined(logSubscription);
    await insertLog(other, "not yours");
    await insertLog(owner, "yours");
    const [label, row] = (await inbox.first()) as [string, Record<string, unknown>];
    assert.deepEqual([label, row.message, row.level], ["New log:", "yours", "INFO"]);
    assert.equal(inbox.all.length, 1);
    await logSubscription.unsubscribe();
  });
});

describe("Real-time Security Monitoring", () => {
  test("the example shows the owner's critical security events", async () => {
    const { inbox, console } = listener();
    const securitySubscription = supabase
      .channel("security-events")
      .on(
        "postgres_changes",
        {
          event: "INSERT",
          schema: "public",
          table: "security_events",
          filter: "severity=eq.CRITICAL",
        },
        (payload) => {
          console.log("Critical security event:", payload.new);
          // Handle critical security event
        },
      )
      .subscribe();
    await joined(securitySubscription);
    const insert = (user: TestUser, severity: string) =>
      stack.sql(
        `insert into public.security_events (event_type, severity, user_id, message) values ('RLS_VIOLATION', $2, $1, 'test')`,
        [user.id, severity],
      );
    await insert(other, "CRITICAL");
    await insert(owner, "LOW");
    await insert(owner, "CRITICAL");
    const [label, row] = (await inbox.first()) as [string, Record<string, unknown>];
    assert.deepEqual([label, row.severity, row.user_id], ["Critical security event:", "CRITICAL", owner.id]);
    assert.equal(inbox.all.length, 1);
    await securitySubscription.unsubscribe();
  });
});

describe("Subscribe to Status Changes", () => {
  test("the example shows each new status of the agent", async () => {
    const { data } = await supabase.from("agents").insert({ name: "status-bot" }).select().single();
    const agentId: string = data.id;
    const { inbox, console } = listener();
    const channel = supabase
      .channel("agent-status")
      .on(
        "postgres_changes",
        {
          event: "UPDATE",
          schema: "public",
          table: "agents",
          filter: `id=eq.${agentId}`,
        },
        (payload) => {
          console.log("Agent status:", payload.new.status);
        },
      )
      .subscribe();
    await joined(channel);
    for (const status of ["thinking", "responding", "idle"]) {
      const { error } = await supabase.from("agents").update({ status }).eq("id", agentId);
      assert.equal(error, null);
    }
    await inbox.count(3);
    assert.deepEqual(
      inbox.all,
      ["thinking", "responding", "idle"].map((status) => ["Agent status:", status]),
    );
    await channel.unsubscribe();
  });
});
