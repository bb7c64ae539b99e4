// A project whose certificate a private authority signed: the agent trusts it by NODE_EXTRA_CA_CERTS, as the chart's caBundle sets it.
import assert from "node:assert/strict";
import { test } from "vitest";
import { startTlsFront, whyNoTlsFront } from "../../../../tests/helpers/tls-front.ts";
import { startAgent } from "../testing/agent.ts";
import { startProjectStub } from "../testing/project.ts";

const options = { skip: whyNoTlsFront !== undefined };

test("with the authority the project is asked; without it callers get 503", options, async () => {
  await using project = await startProjectStub();
  await using front = await startTlsFront(project.url);
  for (const [trusted, status] of [
    [{ NODE_EXTRA_CA_CERTS: front.ca }, 200],
    [{}, 503],
  ] as const) {
    const environment = { ...project.environment, AGENT_PROJECT_URL: front.url, ...trusted };
    await using agent = await startAgent({ environment });
    const answer = await agent.get("/");
    const body = JSON.stringify(answer.body);
    assert.equal(answer.status, status, body);
  }
});
