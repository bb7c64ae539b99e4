import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, it } from "vitest";
import type { z } from "zod";
import { routes } from "../api/routes/index.ts";
import { openApi, openApiText } from "./openapi.ts";
import { testApp } from "./testing/app.ts";

const document = openApi(routes) as {
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
};
const rootFile = (name: string) => readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8");

describe("the OpenAPI document", () => {
  it("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document));
    assert.deepEqual(result.errors ?? [], []);
    assert.equal(validator.version, "3.1");
  });

  it("is the committed one", () => {
    assert.equal(rootFile("docs/openapi.json"), openApiText(routes), "run `node scripts/openapi.ts`");
  });

  it("offers a body to send wherever one is needed, which its schema takes", () => {
    const bodies = routes.flatMap(({ body, operationId }) =>
      body === undefined ? [] : [{ body, operationId }],
    );
    for (const { body, operationId } of bodies) {
      if (body.required || body.example) assert.ok(body.schema.safeParse(body.example).success, operationId);
    }
    assert.match(openApiText(routes), /"example": \{\s+"agentName": "my-first-agent"/);
  });

  it("pages every list by cursor: what takes a number of items takes `after` and answers `nextCursor`", () => {
    const lists = routes.filter(({ query }) => "limit" in query.shape || "lines" in query.shape);
    assert.equal(lists.length, 8);
    for (const { query, args, success, operationId } of lists) {
      assert.ok("after" in query.shape && "after" in args, operationId);
      assert.ok("nextCursor" in (success.schema as z.ZodObject).shape, operationId);
    }
  });

  it("refers to nothing it lacks", () => {
    const references = [...openApiText(routes).matchAll(/"\$ref": "#\/([^"]+)"/g)].map(([, path]) => path!);
    assert.ok(references.length > 50);
    for (const path of references) {
      const target = path
        .split("/")
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document);
      assert.notEqual(target, undefined, path);
    }
  });

  it("has unique operation ids, and every one of the specification's verbs", () => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => ({
        verb: `${method.toUpperCase()} ${path}`,
        operationId,
      })),
    );
    assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length);
    const verbs = operations.map(({ verb }) => verb);
    for (const promised of [
      "POST /api/agents",
      "GET /api/agents",
      "GET /api/agents/{agentId}",
      "GET /api/agents/{agentId}/status",
      "POST /api/agents/{agentId}/scale",
      "PUT /api/agents/{agentId}",
      "POST /api/agents/{agentId}/restart",
      "DELETE /api/agents/{agentId}",
      "GET /api/agents/{agentId}/metrics",
      "GET /api/agents/{agentId}/logs",
      "GET /api/health",
      "GET /api/system/metrics",
      "GET /api/users/profile",
      "PUT /api/users/profile",
    ]) {
      assert.ok(verbs.includes(promised), promised);
    }
  });

  it("describes exactly what the router serves", async () => {
    const { send } = testApp();
    const methods = ["GET", "POST", "PUT", "DELETE", "PATCH"];
    for (const [path, described] of Object.entries(document.paths)) {
      for (const method of methods) {
        const { status } = await send(method, path.replace("{agentId}", "agent-1"));
        assert.equal(status === 405, !(method.toLowerCase() in described), `${method} ${path}: ${status}`);
        assert.notEqual(status, 404);
      }
    }
  });
});

describe("the function's pins", () => {
  it("are equal to package.json", () => {
    const { imports } = JSON.parse(rootFile("supabase/functions/api/deno.json")) as {
      imports: Record<string, string>;
    };
    const { devDependencies: pins } = JSON.parse(rootFile("package.json")) as {
      devDependencies: Record<string, string>;
    };
    for (const [name, specifier] of Object.entries(imports))
      assert.equal(specifier, `npm:${name}@${pins[name]}`);
    for (const folder of ["stack", "controller", "agent-runtime"]) {
      const { dependencies = {} } = JSON.parse(rootFile(`packages/${folder}/package.json`)) as {
        dependencies?: Record<string, string>;
      };
      for (const name of Object.keys(imports))
        assert.equal(dependencies[name] ?? pins[name], pins[name], `${folder}: ${name}`);
    }
  });
});
