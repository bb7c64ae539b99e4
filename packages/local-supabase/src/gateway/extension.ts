// What a program that builds on a Supabase project adds to its gateway; a plain project has none of it.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { AuthRequest } from "./auth-request.ts";
import type { HomePage } from "./pages.ts";
import type { Refusal as DatabaseRefusal } from "./refusals.ts";
import type { Refusal, RefusalFacts } from "./replies.ts";
import type { Route } from "./routes.ts";
import type { Fault, Target } from "./target.ts";

/** Every part is optional. What it judges is what the gateway parsed, and what the service gets. */
export interface GatewayExtension {
  /** Routes beside those of a project; asked before those. Pure. */
  routeOf?: (host: string | undefined, target: Target) => Route | undefined;
  /** The rules of a function that is part of the platform; undefined for the others. */
  platformFunction?: (name: string) => PlatformFunction | undefined;
  /** The form of errors where a target cannot be read; takes it as it was received. */
  unreadableForm?: (raw: string) => ErrorForm | undefined;
  /** Stands before Auth. */
  guardAuth?: AuthGuard;
  /**
   * Stands before PostgREST, and may count.
   * @param authorization as PostgREST gets it
   * @returns whether the request has been answered
   */
  refuseRest?: (
    request: IncomingMessage,
    response: ServerResponse,
    authorization: string | undefined,
  ) => boolean;
  /** Whose share of the database a request without a user takes; its address's where this is undefined. */
  anonymousCaller?: (request: Pick<IncomingMessage, "headers">) => string | undefined;
  watch?: GatewayWatch;
  /** What is shown at `/`. */
  home?: HomePage;
  /** Called once, when the gateway closes. */
  close?: () => void;
}

/** A route that the extension serves. */
export interface ExtensionRoute {
  kind: "extension";
  path: string;
  /** The longest body, in bytes. */
  limit: number;
  /** Names with slashes or control characters in them are what is served here calls its things. */
  takesAnyName?: boolean;
  /** A browser's preflights are answered there, not by the gateway. */
  ownPreflights?: boolean;
  serve: (
    request: IncomingMessage,
    response: ServerResponse,
    refuse: (refusal: Refusal | Fault) => void,
  ) => void | Promise<void>;
  /** Absent: no WebSocket is served there. */
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/**
 * A function that is part of the platform: key and token are judged before it as before a service, and its requests take
 * their callers' places at the database.
 */
export interface PlatformFunction {
  errors: ErrorForm;
}

/** What the gateway's own refusals look like at some paths. */
export type ErrorForm = (
  facts: RefusalFacts,
  requestId: string,
) => { body: object; headers: Record<string, string> };

/** One request to Auth, whose key has been judged. */
export interface AuthCall {
  method: string;
  asked: AuthRequest;
  /** The caller's, or that of their key's role. */
  token: string | undefined;
}

/** Answers a request to Auth, with what `serve` has Auth answer or otherwise. */
export type AuthGuard = (
  request: IncomingMessage,
  response: ServerResponse,
  guarded: {
    call: AuthCall;
    serve: () => Promise<Response>;
    /** Answers that the service is not reachable. */
    unavailable: () => void;
  },
) => Promise<void>;

/** Sees what passes; delays no request and no answer. */
export interface GatewayWatch {
  /** Each request with a key or a token, before these are judged. */
  look(request: IncomingMessage, route: Route): void;
  /** Each answer of PostgREST; may listen to its data. */
  answered(request: IncomingMessage, route: Route, answer: IncomingMessage): void;
  /** What GraphQL or Storage refused. */
  refused(request: IncomingMessage, route: Route, refusal: DatabaseRefusal): void;
}
