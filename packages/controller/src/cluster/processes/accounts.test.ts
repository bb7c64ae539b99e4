import assert from "node:assert/strict";
import { test } from "vitest";
import type { Log } from "../../log.ts";
import { silentLog } from "../../log.ts";
import { replicaAccounts, type Surroundings } from "./accounts.ts";

const machine: Surroundings = {
  uid: 0,
  status: "Name:\tnode\nCapEff:\t000001ffffffffff\n",
  uidMap: "         0          0 4294967295\n",
  gidMap: "         0          0 4294967295\n",
  modeOf: () => 0o755,
};

function warnings(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { log: { ...silentLog, warn: (message) => lines.push(message) }, lines };
}

test("root gives each replica an account that no program has", () => {
  const account = replicaAccounts(["/app/node"], silentLog, machine);
  const [one, other] = [account?.(), account?.()];
  assert.ok(one && other);
  assert.ok(one.uid >= 0x7000_0000 && one.uid < 0x7fff_ffff);
  assert.equal(one.uid, one.gid);
  assert.notEqual(one.uid, other.uid);
});

test("another user gives none, and says nothing: nothing is lost", () => {
  const { log, lines } = warnings();
  assert.equal(replicaAccounts([], log, { ...machine, uid: 1000 }), undefined);
  assert.deepEqual(lines, []);
});

test("a root that cannot is warned why", () => {
  const cases: [Partial<Surroundings>, RegExp][] = [
    [{ status: "CapEff:\t00000000000000c0\n" }, /lacks CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL$/],
    [{ uidMap: "0 1000 1\n1 100000 65536\n" }, /too few user ids/],
    [{ gidMap: "0 1000 1\n" }, /too few user ids/],
    [
      { modeOf: (path) => (path === "/srv/closed" ? 0o700 : 0o755) },
      /\/srv\/closed is closed to other accounts/,
    ],
    [{ modeOf: (path) => (path === "/srv/closed/app/main.ts" ? 0o600 : 0o755) }, /main\.ts is closed/],
    [{ status: undefined }, /Linux alone/],
  ];
  for (const [change, reason] of cases) {
    const { log, lines } = warnings();
    assert.equal(replicaAccounts(["/srv/closed/app/main.ts"], log, { ...machine, ...change }), undefined);
    assert.match(lines.join(), reason);
  }
});
