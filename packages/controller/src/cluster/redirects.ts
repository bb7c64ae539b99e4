// Which of an agent's variables may decide where its requests go: beside one of them the operator's model keys stay at home.

/** Parts of a name that speak of an address, of the way there, or of whom to trust on it. */
const PARTS = new Set(
  (
    "URL URLS URI URIS BASEURL BASEURI ENDPOINT ENDPOINTS HOST HOSTS HOSTNAME BASE ORIGIN ADDRESS ADDR DOMAIN DSN SERVER " +
    "SERVERS GATEWAY PROXY PROXIES PORT IP LOCATION REGION RESOLVER DNS UPSTREAM TARGET " +
    "TLS SSL CERT CERTS CA CAFILE HOSTALIASES LOCALDOMAIN"
  ).split(" "),
);
/** The same, where a name is written in one word. */
const ENDING = /(URL|URI|ENDPOINT|HOST|PROXY)$/;
/** A name that ends like this holds no address, whatever stands before it: PROXY_PASSWORD, DISCORD_SERVER_ID. */
const HARMLESS_ENDING = /_(ID|IDS|KEY|TOKEN|SECRET|PASSWORD|USER|USERNAME|MODEL)$/;

/**
 * Variables that lead requests elsewhere though their names do not say so: files of settings and credentials, switches
 * between services of one provider, where traces are sent. `redirects.test.ts` reads the installed packages and fails for
 * a variable that neither this list nor its own list of harmless ones knows.
 */
const OTHERS = new Set([
  "CLOUDSDK_CONFIG",
  "DOTENV_CONFIG_DOTENV_KEY",
  "DOTENV_CONFIG_PATH",
  "DOTENV_KEY",
  "GEL_CLIENT_SECURITY",
  "GEL_CLOUD_PROFILE",
  "GEL_CREDENTIALS",
  "GEL_CREDENTIALS_FILE",
  "GEL_INSTANCE",
  "GOOGLE_APPLICATION_CREDENTIALS",
  "GOOGLE_GENAI_USE_ENTERPRISE",
  "GOOGLE_GENAI_USE_VERTEXAI",
  "LANGCHAIN_CUSTOM_HEADERS",
  "LANGSMITH_CONFIG_FILE",
  "LANGSMITH_PROFILE",
  "METADATA_SERVER_DETECTION",
  "OTEL_EXPORTER_OTLP_HEADERS",
  "RES_OPTIONS",
]);

/** Whether a variable of this name may decide where requests go. Case does not matter: `http_proxy` is read, too. */
export function mayRedirect(name: string): boolean {
  const upper = name.toUpperCase();
  if (OTHERS.has(upper)) return true;
  if (HARMLESS_ENDING.test(upper)) return false;
  return ENDING.test(upper) || upper.split("_").some((part) => PARTS.has(part));
}

/** Those of an agent's own variables that keep the operator's model keys at home. */
export function redirecting(own: Record<string, string>): string[] {
  return Object.keys(own).filter(mayRedirect).sort();
}
