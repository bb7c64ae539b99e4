/** Arithmetic by our own parser: nothing of the expression is ever run. */
import { ToolError } from "./request.ts";

const FUNCTIONS: Readonly<Record<string, (...values: number[]) => number>> = {
  abs: Math.abs,
  ceil: Math.ceil,
  cos: Math.cos,
  exp: Math.exp,
  floor: Math.floor,
  ln: Math.log,
  log: Math.log10,
  log10: Math.log10,
  log2: Math.log2,
  max: Math.max,
  min: Math.min,
  pow: (base = Number.NaN, exponent = Number.NaN) => base ** exponent,
  round: (value = Number.NaN, digits = 0) => Math.round(value * 10 ** digits) / 10 ** digits,
  sin: Math.sin,
  sqrt: Math.sqrt,
  tan: Math.tan,
};
const CONSTANTS: Readonly<Record<string, number>> = { pi: Math.PI, e: Math.E, tau: 2 * Math.PI };
const MAX_DEPTH = 50;

/**
 * Evaluates an expression of numbers, + - * / % ^, parentheses, functions and constants.
 * @throws ToolError saying what is wrong with it
 */
export function calculate(expression: string): number {
  if (expression.length > 500) throw new ToolError("The expression is longer than 500 characters.");
  const tokens = tokenize(expression);
  let at = 0;
  let depth = 0;
  const peek = () => tokens[at];
  const take = (token: string) => {
    if (peek() !== token)
      throw new ToolError(`Expected "${token}" ${peek() ? `before "${peek()}"` : "at the end"}.`);
    at += 1;
  };

  const sum = (): number => {
    let value = product();
    for (;;) {
      const sign = peek();
      if (sign !== "+" && sign !== "-") return value;
      at += 1;
      const right = product();
      value = sign === "+" ? value + right : value - right;
    }
  };
  const product = (): number => {
    let value = signed();
    for (;;) {
      const sign = peek();
      if (sign !== "*" && sign !== "/" && sign !== "%") return value;
      at += 1;
      const right = signed();
      if (sign !== "*" && right === 0) throw new ToolError("Division by zero.");
      value = sign === "*" ? value * right : sign === "/" ? value / right : value % right;
    }
  };
  const signed = (): number => {
    let negative = false;
    while (peek() === "-" || peek() === "+") {
      if (peek() === "-") negative = !negative;
      at += 1;
    }
    const value = power();
    return negative ? -value : value;
  };
  const power = (): number => {
    const base = atom();
    if (peek() !== "^") return base;
    at += 1;
    if (++depth > MAX_DEPTH) throw new ToolError("The expression is nested too deeply.");
    return base ** signed();
  };
  const atom = (): number => {
    const token = peek();
    if (token === undefined) throw new ToolError("The expression is incomplete.");
    at += 1;
    if (/^[\d.]/.test(token)) return Number(token);
    if (token === "(") return group();
    if (peek() === "(") {
      const fn = Object.hasOwn(FUNCTIONS, token) ? FUNCTIONS[token] : undefined;
      if (!fn) throw new ToolError(`There is no function "${token}".`);
      at += 1;
      const values = [group(true)];
      while (tokens[at - 1] === ",") values.push(group(true));
      return fn(...values);
    }
    const constant = Object.hasOwn(CONSTANTS, token) ? CONSTANTS[token] : undefined;
    if (constant === undefined) throw new ToolError(`"${token}" is not known.`);
    return constant;
  };
  /** An inner expression up to its ")", or up to "," inside a call. */
  const group = (inCall = false): number => {
    if (++depth > MAX_DEPTH) throw new ToolError("The expression is nested too deeply.");
    const value = sum();
    if (inCall && peek() === ",") at += 1;
    else take(")");
    depth -= 1;
    return value;
  };

  const value = sum();
  if (at < tokens.length) throw new ToolError(`"${tokens[at]}" is not expected there.`);
  if (!Number.isFinite(value)) throw new ToolError("The result is not a number.");
  return value;
}

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  const pattern = /\s*(?:(\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+)|([a-z][a-z0-9]*)|(\*\*|[-+*/%^(),]))/giy;
  let end = 0;
  for (let match = pattern.exec(expression); match; match = pattern.exec(expression)) {
    end = pattern.lastIndex;
    tokens.push(match[1] ?? match[2]?.toLowerCase() ?? (match[3] === "**" ? "^" : (match[3] ?? "")));
  }
  const rest = expression.slice(end).trim();
  if (rest !== "") throw new ToolError(`"${rest.slice(0, 20)}" cannot be understood.`);
  return tokens;
}
