import assert from "node:assert/strict";
import { test } from "vitest";
import { Connections, type Counted } from "./connections.ts";
import { SERVICE } from "./owners.ts";

interface Fake extends Counted {
  ended: boolean;
}

function socketOf(address = "a"): Fake {
  const socket: Fake = {
    address,
    ended: false,
    terminate() {
      socket.ended = true;
    },
  };
  return socket;
}

const LIMITS = {
  connectionsPerUser: 2,
  waitingConnections: 4,
  waitingPerAddress: 3,
  guestConnections: 3,
  guestsPerAddress: 2,
};

test("a full waiting room dismisses the socket that waited longest, of the same address first", () => {
  const connections = new Connections<Fake>(LIMITS);
  const [b, ...many] = [socketOf("b"), ...Array.from({ length: 4 }, () => socketOf("a"))];
  for (const socket of [b as Fake, ...many]) connections.open(socket);
  assert.deepEqual([b?.ended, ...many.map(({ ended }) => ended)], [false, true, false, false, false]);
  const newcomers = [socketOf("c"), socketOf("d")];
  for (const socket of newcomers) connections.open(socket);
  assert.deepEqual([b?.ended, ...newcomers.map(({ ended }) => ended)], [true, false, false]);
});

test("guests are limited by address and in all; users are not counted with them", () => {
  const connections = new Connections<Fake>(LIMITS);
  const join = (owner: string, socket = socketOf()) => {
    connections.open(socket);
    return connections.join(socket, owner);
  };
  assert.deepEqual([join("guest:a"), join("guest:a"), join("guest:a")], [true, true, false]);
  assert.deepEqual([join("guest:b"), join("guest:b")], [true, false]);
  assert.deepEqual([join("user:1"), join("user:1"), join("user:1")], [true, true, false]);
  assert.deepEqual([join(SERVICE), join(SERVICE), join(SERVICE)], [true, true, true]);
});

test("a socket that closes makes room, and counts once however often it joins", () => {
  const connections = new Connections<Fake>(LIMITS);
  const [one, two, three] = [socketOf(), socketOf(), socketOf()];
  for (let n = 0; n < 5; n++) assert.equal(connections.join(one, "user:1"), true);
  assert.equal(connections.join(two, "user:1"), true);
  assert.equal(connections.join(three, "user:1"), false);
  connections.close(one);
  connections.close(one);
  assert.equal(connections.join(three, "user:1"), true);
  assert.deepEqual(connections.users(), ["1"]);
  for (const socket of [two, three]) connections.close(socket);
  assert.deepEqual(connections.users(), []);
});
