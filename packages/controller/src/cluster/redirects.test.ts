// Reads the packages that agents run on for the variables they take, and holds the rule to all of them.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { mayRedirect, redirecting } from "./redirects.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const ELIZA = join(ROOT, "packages/agent-runtime/eliza/node_modules");
/** What a replica of each engine can load. Of elizaOS's part: all of it, build tools too. */
const MODEL = ["ai", "@ai-sdk"].map((name) => join(ROOT, "node_modules", name));

/** How packages read a variable or a setting; the name is the first group. */
const READS = [
  /process\.env\.([A-Za-z_]\w*)/g,
  /process\.env\[\s*["'`]([A-Za-z_]\w*)["'`]/g,
  /(?:get|read|load|parse)\w*(?:Setting|Config|Env|EnvironmentVariable|Variable)\w*\(\s*(?:[\w.]+\s*,\s*)?["'`]([A-Za-z_]\w*)["'`]/g,
  /environmentVariableName:\s*["'`]([A-Za-z_]\w*)["'`]/g,
];
/** Any other text that looks like the name of an address: read in a way that the patterns do not know. */
const ADDRESS_LITERAL = /["'`.]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:URL|URI|ENDPOINT|HOST|PROXY))\b/g;

function variablesOf(folders: readonly string[]): string[] {
  const names = new Set<string>();
  for (const folder of folders) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.[cm]?js$/.test(entry.name)) continue;
      const text = readFileSync(join(entry.parentPath, entry.name), "utf8");
      for (const pattern of [...READS, ADDRESS_LITERAL])
        for (const [, name] of text.matchAll(pattern)) if (name !== undefined) names.add(name);
    }
  }
  return [...names].sort();
}

/**
 * Variables of the installed packages that lead no request elsewhere: each was looked up. A new one fails the test below:
 * find out what its package does with it, then name it here or in redirects.ts.
 */
const HARMLESS = new Set(
  `
  AI_GATEWAY_API_KEY ALLOW_UNPROCESSED_PAYLOADS ALWAYS_RESPOND_CHANNELS ALWAYS_RESPOND_SOURCES ANTHROPIC_API_KEY
  ANTHROPIC_EXPERIMENTAL_TELEMETRY ANTHROPIC_LARGE_MODEL ANTHROPIC_SMALL_MODEL API_KEY APPDATA ARM_VERSION
  AWS_ACCESS_KEY_ID AWS_EXECUTION_ENV AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN BOOTSTRAP_DEFLLMOFF
  BOOTSTRAP_KEEP_RESP CHANNEL_IDS CHOKIDAR_INTERVAL CHOKIDAR_PRINT_FSEVENTS_REQUIRE_ERROR CHOKIDAR_USEPOLLING CI
  CLOUD_RUN_JOB COLORTERM DATABASE_PASSWORD DATABASE_USERNAME DEBUG DEBUG_AUTH DEBUG_NOPT DETECT_GCP_RETRIES
  DISABLE_MULTIPART_STREAMING DISABLE_RUN_COMPRESSION DISCORD_API_TOKEN DISCORD_APPLICATION_ID
  DISCORD_AUDIT_LOG_ENABLED DISCORD_LISTEN_CHANNEL_IDS DISCORD_SHOULD_IGNORE_BOT_MESSAGES
  DISCORD_SHOULD_IGNORE_DIRECT_MESSAGES DISCORD_SHOULD_RESPOND_ONLY_TO_MENTIONS DISCORD_TEST_CHANNEL_ID
  DISCORD_TOKEN DISCORD_VOICE_CHANNEL_ID DOTENV_CONFIG_DEBUG DOTENV_CONFIG_ENCODING DOTENV_CONFIG_OVERRIDE
  DOTENV_CONFIG_QUIET ELECTRON_RUN_AS_NODE ELIZA_ALLOW_DESTRUCTIVE_MIGRATIONS ELIZA_NO_AUTO_INSTALL
  ELIZA_NO_PLUGIN_AUTO_INSTALL ELIZA_SERVER_ID ELIZA_TEST_MODE EMBEDDING_DIMENSION ENABLE_DATA_ISOLATION
  ENVIRONMENT ESBK_DISABLE_CACHE ESBK_TSCONFIG_PATH ESBUILD_BINARY_PATH ESBUILD_MAX_BUFFER ESBUILD_WORKER_THREADS
  EXCLUDE_INPUTS_ON_PATCH EXPERIMENTAL_SESSION_CHECKS FAILED_TRACES_DIR FAILED_TRACES_MAX_MB FFMPEG_PATH FFPROBE_PATH FLVMETA_PATH
  FLVTOOL2_PATH FORMAT_START FREQUENCY_PENALTY FUNCTION_NAME GAE_MODULE_NAME GAE_SERVICE GCLOUD_PROJECT GEL_BRANCH
  GEL_DATABASE GEL_PASSWORD GEL_SECRET_KEY GEL_USER GEL_WAIT_UNTIL_AVAILABLE GEMINI_API_KEY
  GEMINI_NEXT_GEN_API_LOG GITHUB_ACTION GOOGLE_API_KEY GOOGLE_CLOUD_PROJECT GOOGLE_CLOUD_QUOTA_PROJECT
  GOOGLE_EMBEDDING_MODEL GOOGLE_GENERATIVE_AI_API_KEY GOOGLE_IMAGE_MODEL GOOGLE_LARGE_MODEL GOOGLE_SMALL_MODEL
  HIDE_INPUTS HIDE_METADATA HIDE_OUTPUTS HOME HOMEDRIVE HOMEPATH IMAGE_MODEL JEST_WORKER_ID K_CONFIGURATION
  K_SERVICE LANG LANGCHAIN_API_KEY LANGCHAIN_CALLBACKS_BACKGROUND LANGCHAIN_LOG LANGCHAIN_SESSION
  LANGCHAIN_TRACING LANGCHAIN_VERBOSE LANGSMITH_API_KEY LANGSMITH_DEBUG LANGSMITH_ENVIRONMENT LANGSMITH_TENANT_ID
  LANGSMITH_TEST_TRACKING LANGSMITH_TRACING_BACKGROUND LARGE_MODEL LC_ALL LC_CTYPE LC_OUTPUT_VERSION LIBC
  LOCALAPPDATA LOGNAME LOG_JSON_FORMAT LOG_LEVEL LOG_TIMESTAMPS MAX_MULTISTEP_ITERATIONS MAX_TOKENS
  MAX_WORKING_MEMORY_ENTRIES MIN_P MULTISTEP_PARSE_RETRIES MULTISTEP_SUMMARY_PARSE_RETRIES MY_TRACER_ENABLED
  NODE_DEBUG NODE_ENV NODE_INSPECTOR_IPC NODE_OPTIONS NODE_PG_FORCE_NATIVE NODE_PRE_GYP_ABI_CROSSWALK
  NODE_V8_COVERAGE NOPT_DEBUG NO_COLOR OPENAI_API_KEY OPENAI_EMBEDDING_API_KEY OPENAI_EMBEDDING_DIMENSIONS
  OPENAI_EMBEDDING_MODEL OPENAI_EXPERIMENTAL_TELEMETRY OPENAI_IMAGE_DESCRIPTION_MAX_TOKENS
  OPENAI_IMAGE_DESCRIPTION_MODEL OPENAI_IMAGE_MODEL OPENAI_LARGE_MODEL OPENAI_SMALL_MODEL
  OPENAI_TRANSCRIPTION_MODEL OPENAI_TTS_INSTRUCTIONS OPENAI_TTS_MODEL OPENAI_TTS_VOICE OS OSTYPE OTEL_ENABLED PATH
  PATHEXT PG PGCONNECT_TIMEOUT PGLITE_DATA_DIR PGSSLMODE PREBUILDS_ONLY PRESENCE_PENALTY PROJECT
  PROVIDERS_TOTAL_TIMEOUT_MS READABLE_STREAM REGISTRY_PASSWORD REPETITION_PENALTY RUNNER_DEBUG RUNNER_TEMP
  RUN_COMPRESSION_LEVEL RUN_COMPRESSION_WINDOW_LOG SECRET_SALT SEED SERVER_ID SHARDING_MANAGER
  SHARDING_MANAGER_MODE SHOULD_RESPOND_BYPASS_SOURCES SHOULD_RESPOND_BYPASS_TYPES SMALL_MODEL
  SUPPRESS_CIRCULAR_JSON_WARNINGS TELEGRAM_ALLOWED_CHATS TELEGRAM_API_ROOT TELEGRAM_BOT_TOKEN
  TELEGRAM_TEST_CHAT_ID TEMPERATURE TERM TERM_PROGRAM TESTING_TAR_FAKE_PLATFORM TEST_CONFIG_PATH_PREFIX
  TOP_K TOP_P TRACING_MODE TRACING_SAMPLING_RATE TSC_NONPOLLING_WATCHER TSC_WATCHDIRECTORY TSC_WATCHFILE TSS_LOG
  TSS_TRACE TSX_DEBUG TSX_DISABLE_CACHE TSX_TSCONFIG_PATH UNDICI_NO_FG UNDICI_NO_WASM_SIMD
  UPSTASH_REDIS_REST_TOKEN USER USERNAME USERPROFILE USE_MULTI_STEP VERCEL_DEPLOYMENT_ID VERCEL_ENV
  VERCEL_OIDC_TOKEN VERCEL_PROJECT_ID VSCODE_INSPECTOR_OPTIONS WORKSPACE_ID WORLD_ID WS_NO_BUFFER_UTIL
  WS_NO_UTF_8_VALIDATE WT_SESSION XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME __FAKE_PLATFORM__
  __MINIMATCH_TESTING_PLATFORM__ __TESTING_MKDIRP_NODE_VERSION__ __TESTING_MKDIRP_PLATFORM__ comspec files foo
  gcloud_project google_cloud_project include npm_config_arch npm_config_argv npm_config_node_gyp
  npm_config_platform npm_config_user_agent
`
    .trim()
    .split(/\s+/),
);

test("every variable that the model engine's packages read is known", () => {
  const unknown = variablesOf(MODEL).filter((name) => !mayRedirect(name) && !HARMLESS.has(name));
  assert.deepEqual(unknown, []);
});

test("every variable that elizaOS and its plugins read is known", { skip: !existsSync(ELIZA) }, () => {
  const unknown = variablesOf([ELIZA]).filter((name) => !mayRedirect(name) && !HARMLESS.has(name));
  assert.deepEqual(unknown, []);
});

test("the scan finds the addresses that are known to be read", { skip: !existsSync(ELIZA) }, () => {
  const found = new Set(variablesOf([...MODEL, ELIZA]));
  const known = [
    "OPENAI_BASE_URL",
    "OPENAI_EMBEDDING_URL",
    "OPENAI_BROWSER_BASE_URL",
    "ANTHROPIC_BASE_URL",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
    "HTTP_PROXY",
    "https_proxy",
    "LANGSMITH_ENDPOINT",
  ];
  assert.deepEqual(
    known.filter((name) => !found.has(name) || !mayRedirect(name)),
    [],
  );
});

test("addresses, ways there and what is trusted keep keys at home; other names do not", () => {
  const redirect = [
    "OPENAI_BASEURL",
    "MY_PROVIDER_API_URL",
    "all_proxy",
    "SSL_CERT_FILE",
    "GOOGLE_CLOUD_LOCATION",
    "SOME_PLUGIN_ENDPOINT",
    "HOSTALIASES",
  ];
  const other = [
    "DISCORD_TOKEN",
    "DISCORD_SERVER_ID",
    "PROXY_PASSWORD",
    "COINGECKO_API_KEY",
    "IMPORTANT",
    "CAT",
    "BASED",
  ];
  assert.deepEqual(
    redirecting(Object.fromEntries([...redirect, ...other].map((name) => [name, "x"]))),
    [...redirect].sort(),
  );
});
