/** Judges the JSON of a request, in the words that hosted's validation (ajv) has. */
import { failures } from "./errors.ts";

export type Shape =
  | { type: "string"; enum?: readonly string[]; nullable?: boolean }
  | { type: "integer"; minimum?: number; nullable?: boolean }
  | { type: "boolean" }
  | { type: "array"; items: Shape; minItems?: number; maxItems?: number; nullable?: boolean }
  | {
      type: "object";
      properties: Record<string, Shape>;
      required?: readonly string[];
      minProperties?: number;
    }
  | { type: "fileSize" };

/**
 * Judges a value and gives it with the types that the shape names: numbers and truth values may come as text, as they do
 * in a query. Throws in hosted's words.
 * @param where `body` or `querystring`
 */
export function validated(where: string, shape: Shape, value: unknown): unknown {
  const bad = (message: string) => failures.invalidForm(`${where} ${message}`);
  switch (shape.type) {
    case "string": {
      if (value === null && shape.nullable) return null;
      const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
      if (text === null) return "";
      if (typeof text !== "string") throw bad("must be string");
      if (shape.enum && !shape.enum.includes(text)) throw bad("must be equal to one of the allowed values");
      return text;
    }
    case "integer": {
      if (value === null && shape.nullable) return null;
      const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
      if (typeof number !== "number" || !Number.isInteger(number)) throw bad("must be integer");
      if (shape.minimum !== undefined && number < shape.minimum) throw bad(`must be >= ${shape.minimum}`);
      return number;
    }
    case "boolean":
      if (value === true || value === "true" || value === 1) return true;
      if (value === false || value === "false" || value === 0 || value === null) return false;
      throw bad("must be boolean");
    case "array": {
      if (value === null && shape.nullable) return null;
      const list = Array.isArray(value) ? value : typeof value === "object" ? undefined : [value];
      if (!list) throw bad("must be array");
      if (shape.minItems !== undefined && list.length < shape.minItems)
        throw bad(`must NOT have fewer than ${shape.minItems} items`);
      if (shape.maxItems !== undefined && list.length > shape.maxItems)
        throw bad(`must NOT have more than ${shape.maxItems} items`);
      return list.map((item, i) => validated(`${where}/${i}`, shape.items, item));
    }
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("must be object");
      const given = value as Record<string, unknown>;
      for (const name of shape.required ?? [])
        if (given[name] === undefined) throw bad(`must have required property '${name}'`);
      if (Object.keys(given).length < (shape.minProperties ?? 0))
        throw bad(`must NOT have fewer than ${shape.minProperties} properties`);
      const kept: Record<string, unknown> = {};
      for (const [name, inner] of Object.entries(shape.properties))
        if (given[name] !== undefined) kept[name] = validated(`${where}/${name}`, inner, given[name]);
      return kept;
    }
    case "fileSize": {
      if (value === null) return null;
      if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
      if (typeof value === "string" && /^\d+(?:\.\d+)?(?:[gmk]?b)$/i.test(value)) return value;
      if (typeof value === "string" && /^\d+$/.test(value)) return Number(value);
      throw bad(
        `${typeof value === "number" ? (Number.isInteger(value) ? "must be >= 0" : "must be integer") : "must be integer"}, ${where} must match a schema in anyOf`,
      );
    }
  }
}
