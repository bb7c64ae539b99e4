/** Calls of the project by the functions that work for the database: with its secret key, as service_role. */

/** Where the project is, and the key that may do everything in it. */
export interface Project {
  /** The project's address, without a slash at the end. */
  readonly url: string;
  readonly secretKey: string;
}

const TIMEOUT_MS = 15_000;

/** Calls an RPC as service_role. Throws CallRefused for the project's own errors, another Error when it cannot be reached. */
export type Call = (name: string, args: object) => Promise<unknown>;

/** An error of the project's own about what was asked. */
export class CallRefused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "CallRefused";
    this.status = status;
    this.code = code;
  }
}

/** The headers of a call with the secret key. */
export const serviceHeaders = ({ secretKey }: Project): Record<string, string> => ({
  apikey: secretKey,
  // The old key is a JWT and travels as one; the gateway makes one of the new keys.
  ...(!secretKey.startsWith("sb_") && { authorization: `Bearer ${secretKey}` }),
});

/** Makes the way to the project's RPCs. */
export function createCall(project: Project, send: typeof fetch = fetch): Call {
  const headers = serviceHeaders(project);
  return async (name, args) => {
    const response = await send(`${project.url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(args),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw (
      refusalOf(response.status, text) ??
      new Error(`${name} answered ${response.status}: ${text.slice(0, 300)}`)
    );
  };
}

function refusalOf(status: number, text: string): CallRefused | undefined {
  try {
    const { code, message } = JSON.parse(text) as Record<string, unknown>;
    if (status < 500 && typeof code === "string") return new CallRefused(status, code, String(message));
  } catch {
    // no error of ours
  }
  return undefined;
}
