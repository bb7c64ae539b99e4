// The two wire forms of Phoenix channels that supabase-js speaks.
// 1.0.0: objects {topic, event, payload, ref, join_ref}. 2.0.0: arrays [join_ref, ref, topic, event, payload], and
// binary frames for broadcasts: kind 3 from the client, kind 4 from the server (realtime_web/socket/v2_serializer.ex).

export type Version = "1.0.0" | "2.0.0";

/** What a client calls a message by; echoed as it came. */
export type Ref = string | number | null;

/** The body of a broadcast as it travels: JSON text or bytes, never parsed on its way through. */
export interface UserBroadcast {
  event: string;
  encoding: "json" | "binary";
  body: Buffer;
}

export interface Frame {
  joinRef: Ref;
  ref: Ref;
  topic: string;
  event: string;
  payload: unknown;
  /** Set for a binary broadcast; `payload` is undefined then. */
  broadcast?: UserBroadcast;
}

const USER_BROADCAST_PUSH = 3;
const USER_BROADCAST = 4;
const PUSH = 0;
const JSON_ENCODING = 1;

/**
 * Reads a frame. Takes the raw message and how long a reference may be; returns undefined for anything else (hosted ends
 * the connection then).
 */
export function parseFrame(
  version: Version,
  data: Buffer,
  isBinary: boolean,
  refBytes = 255,
): Frame | undefined {
  const frame = parse(version, data, isBinary);
  const isShort = (ref: Ref) => typeof ref !== "string" || Buffer.byteLength(ref) <= refBytes;
  return frame && isShort(frame.ref) && isShort(frame.joinRef) ? frame : undefined;
}

function parse(version: Version, data: Buffer, isBinary: boolean): Frame | undefined {
  if (isBinary) return version === "2.0.0" ? parseBinary(data) : undefined;
  let value: unknown;
  try {
    value = JSON.parse(data.toString("utf8"));
  } catch {
    return undefined;
  }
  if (version === "2.0.0") {
    if (!Array.isArray(value) || value.length < 5) return undefined;
    const [joinRef, ref, topic, event, payload] = value as unknown[];
    return frameOf(joinRef, ref, topic, event, payload);
  }
  if (!isRecord(value)) return undefined;
  return frameOf(value.join_ref, value.ref, value.topic, value.event, value.payload);
}

function frameOf(
  joinRef: unknown,
  ref: unknown,
  topic: unknown,
  event: unknown,
  payload: unknown,
): Frame | undefined {
  if (typeof topic !== "string" || typeof event !== "string") return undefined;
  if (!isRef(joinRef) || !isRef(ref)) return undefined;
  return { joinRef: joinRef ?? null, ref: ref ?? null, topic, event, payload };
}

function isRef(value: unknown): value is Ref | undefined {
  return value === null || value === undefined || typeof value === "string" || typeof value === "number";
}

function parseBinary(data: Buffer): Frame | undefined {
  const kind = data[0];
  const isBroadcast = kind === USER_BROADCAST_PUSH;
  if (!isBroadcast && kind !== PUSH) return undefined;
  const header = isBroadcast ? 7 : 5;
  if (data.length < header) return undefined;
  const sizes = [...data.subarray(1, isBroadcast ? 6 : 5)];
  let at = header;
  const parts: string[] = [];
  for (const size of sizes) {
    if (at + size > data.length) return undefined;
    parts.push(data.toString("utf8", at, at + size));
    at += size;
  }
  const [joinRef = "", ref = "", topic = "", event = "", metadata = ""] = parts;
  if (metadata !== "" && !isJson(metadata)) return undefined;
  const body = data.subarray(at);
  const frame = { joinRef: joinRef || null, ref: ref || null, topic };
  if (!isBroadcast) return { ...frame, event, payload: undefined };
  const encoding = data[6] === JSON_ENCODING ? "json" : "binary";
  // It is put into other people's frames as it is, so it must be what it says it is.
  if (encoding === "json" && !isJson(body.toString("utf8"))) return undefined;
  return { ...frame, event: "broadcast", payload: undefined, broadcast: { event, encoding, body } };
}

/** A message to the client. Takes the payload as JSON text, so that one text serves many receivers. */
export function encodePush(
  version: Version,
  topic: string,
  event: string,
  payloadJson: string,
  joinRef: Ref = null,
): string {
  const [t, e] = [JSON.stringify(topic), JSON.stringify(event)];
  if (version === "1.0.0") return `{"ref":null,"topic":${t},"event":${e},"payload":${payloadJson}}`;
  return `[${JSON.stringify(joinRef)},null,${t},${e},${payloadJson}]`;
}

/** The answer to a client's message. */
export function encodeReply(
  version: Version,
  to: Pick<Frame, "joinRef" | "ref" | "topic">,
  status: "ok" | "error",
  response: unknown,
): string {
  const payload = { status, response };
  return version === "1.0.0"
    ? JSON.stringify({ ref: to.ref, topic: to.topic, event: "phx_reply", payload })
    : JSON.stringify([to.joinRef, to.ref, to.topic, "phx_reply", payload]);
}

/** The last word about a channel: phx_close (it ended in order) or phx_error (rejoin); ref and join_ref are the join's. */
export function encodeEnd(
  version: Version,
  topic: string,
  event: "phx_close" | "phx_error",
  joinRef: Ref,
): string {
  return version === "1.0.0"
    ? JSON.stringify({ ref: joinRef, topic, event, payload: {} })
    : JSON.stringify([joinRef, joinRef, topic, event, {}]);
}

/**
 * A broadcast to a client: a binary frame for 2.0.0, text for 1.0.0. Returns undefined where the form cannot carry it
 * (bytes for 1.0.0; hosted drops those too). Names longer than the 255 bytes of a binary header go as text.
 */
export function encodeUserBroadcast(
  version: Version,
  topic: string,
  message: UserBroadcast,
  meta?: Record<string, unknown>,
): string | Buffer | undefined {
  if (version === "2.0.0") {
    const binary = binaryBroadcast(topic, message, meta);
    if (binary) return binary;
  }
  if (message.encoding === "binary") return undefined;
  const event = JSON.stringify(message.event);
  const metaJson = meta ? `,"meta":${JSON.stringify(meta)}` : "";
  const payload = `{"event":${event},"payload":${message.body.toString("utf8")},"type":"broadcast"${metaJson}}`;
  return encodePush(version, topic, "broadcast", payload);
}

function binaryBroadcast(
  topic: string,
  message: UserBroadcast,
  meta?: Record<string, unknown>,
): Buffer | undefined {
  const parts = [topic, message.event, meta ? JSON.stringify(meta) : ""].map((text) => Buffer.from(text));
  if (parts.some((part) => part.length > 255)) return undefined;
  const encoding = message.encoding === "json" ? JSON_ENCODING : 0;
  const header = Buffer.from([USER_BROADCAST, ...parts.map((part) => part.length), encoding]);
  return Buffer.concat([header, ...parts, message.body]);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON text of a value that came as JSON; undefined where it nests too deep to be written again. */
export function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
