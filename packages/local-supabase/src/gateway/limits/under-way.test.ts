import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "vitest";
import { generateKeys } from "../../keys.ts";
import { mintRoleToken } from "../../tokens.ts";
import { callerOf, createShares } from "./under-way.ts";

const client = () => Object.assign(new EventEmitter(), { destroyed: false }) as unknown as ServerResponse;

test("a caller's further requests wait for a place of their own; another caller's go on", async () => {
  const shares = createShares({ most: 2, mostWaiting: 2, patienceMs: 60_000 });
  const [first] = [await shares.enter("a", client()), await shares.enter("a", client())];
  const order: string[] = [];
  const third = shares.enter("a", client()).then((leave) => {
    order.push("third");
    return leave;
  });
  const fourth = shares.enter("a", client()).then((leave) => {
    order.push("fourth");
    return leave;
  });
  assert.equal(await shares.enter("a", client()), undefined, "two wait already");
  const other = await shares.enter("b", client());
  assert.ok(other);
  assert.deepEqual(order, []);
  first?.();
  const leaveThird = await third;
  assert.deepEqual(order, ["third"]);
  leaveThird?.();
  assert.ok(await fourth);
});

test("a client that leaves, or waits too long, gives its turn up; a place is not lost", async () => {
  const shares = createShares({ most: 1, mostWaiting: 5, patienceMs: 20 });
  const held = await shares.enter("a", client());
  const gone = client();
  const left = shares.enter("a", gone);
  gone.emit("close");
  assert.equal(await left, undefined);
  assert.equal(await shares.enter("a", client()), undefined, "20 ms have passed");
  held?.();
  assert.ok(await shares.enter("a", client()));
});

test("whose share a request takes follows from a genuine token, then from what proves itself", () => {
  const keys = generateKeys();
  const secret = keys.jwtSecret;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (claims: object, key = secret) => {
    const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `Bearer ${body}.${createHmac("sha256", key).update(body).digest("base64url")}`;
  };
  const request = { headers: {}, socket: { remoteAddress: "::1" } } as IncomingMessage;
  const caller = (authorization?: string) => callerOf(request, authorization, keys);
  const user = { role: "authenticated", sub: "u1" };
  assert.equal(caller(token(user)), "user u1");
  assert.equal(caller(token(user, "another key")), "address ::1");
  assert.equal(caller(), "address ::1");
  const service = `Bearer ${mintRoleToken("service_role", secret, Date.now(), 60)}`;
  assert.equal(caller(service), undefined);
  assert.equal(caller(token({ role: "service_role" }, "another key")), "address ::1");

  const known = { headers: { "x-known": "program" } } as unknown as IncomingMessage;
  const anonymous = ({ headers }: Pick<IncomingMessage, "headers">) => headers["x-known"]?.toString();
  assert.equal(callerOf(known, undefined, keys, anonymous), "program");
  assert.equal(callerOf(known, token(user, "another key"), keys, anonymous), "program");
  assert.equal(callerOf(known, token(user), keys, anonymous), "user u1");
  assert.equal(callerOf(known, service, keys, anonymous), undefined);
});
