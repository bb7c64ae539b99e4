"""How each operation of the API is called.

Generated from docs/openapi.json by tools/generate.py: do not edit.
"""

from __future__ import annotations

from ._call import Operation

LAUNCH_AGENT = Operation("POST", "/api/agents", idempotency_key=True)
LIST_AGENTS = Operation("GET", "/api/agents", idempotency_key=False)
GET_AGENT = Operation("GET", "/api/agents/{agentId}", idempotency_key=False)
UPDATE_AGENT = Operation("PUT", "/api/agents/{agentId}", idempotency_key=False)
DELETE_AGENT = Operation("DELETE", "/api/agents/{agentId}", idempotency_key=False)
GET_AGENT_STATUS = Operation("GET", "/api/agents/{agentId}/status", idempotency_key=False)
LIST_AGENT_REVISIONS = Operation("GET", "/api/agents/{agentId}/revisions", idempotency_key=False)
EXPORT_AGENT = Operation("GET", "/api/agents/{agentId}/export", idempotency_key=False)
IMPORT_AGENT = Operation("POST", "/api/agents/import", idempotency_key=True)
CREATE_AGENT_KEY = Operation("POST", "/api/agents/{agentId}/keys", idempotency_key=True)
LIST_AGENT_KEYS = Operation("GET", "/api/agents/{agentId}/keys", idempotency_key=False)
REVOKE_AGENT_KEY = Operation("DELETE", "/api/agents/{agentId}/keys/{keyId}", idempotency_key=False)
DEPLOY_AGENT = Operation("POST", "/api/agents/{agentId}/deploy", idempotency_key=True)
SCALE_AGENT = Operation("POST", "/api/agents/{agentId}/scale", idempotency_key=True)
RESTART_AGENT = Operation("POST", "/api/agents/{agentId}/restart", idempotency_key=True)
STOP_AGENT = Operation("POST", "/api/agents/{agentId}/stop", idempotency_key=True)
START_AGENT = Operation("POST", "/api/agents/{agentId}/start", idempotency_key=True)
SLEEP_AGENT = Operation("POST", "/api/agents/{agentId}/sleep", idempotency_key=True)
WAKE_AGENT = Operation("POST", "/api/agents/{agentId}/wake", idempotency_key=True)
ROLLBACK_AGENT = Operation("POST", "/api/agents/{agentId}/rollback", idempotency_key=True)
STOP_ALL_AGENTS = Operation("POST", "/api/agents/stop-all", idempotency_key=True)
GET_AGENT_METRICS = Operation("GET", "/api/agents/{agentId}/metrics", idempotency_key=False)
GET_AGENT_LOGS = Operation("GET", "/api/agents/{agentId}/logs", idempotency_key=False)
LIST_PLUGINS = Operation("GET", "/api/plugins", idempotency_key=False)
LIST_SECURITY_EVENTS = Operation("GET", "/api/security/events", idempotency_key=False)
SCAN_AGENT = Operation("POST", "/api/security/scan/{agentId}", idempotency_key=True)
GET_HEALTH = Operation("GET", "/api/health", idempotency_key=False)
GET_SYSTEM_METRICS = Operation("GET", "/api/system/metrics", idempotency_key=False)
GET_USAGE = Operation("GET", "/api/usage", idempotency_key=False)
LIST_BUDGETS = Operation("GET", "/api/budgets", idempotency_key=False)
PUT_BUDGET = Operation("PUT", "/api/budgets", idempotency_key=False)
DELETE_BUDGET = Operation("DELETE", "/api/budgets/{budgetId}", idempotency_key=False)
GET_PROFILE = Operation("GET", "/api/users/profile", idempotency_key=False)
UPDATE_PROFILE = Operation("PUT", "/api/users/profile", idempotency_key=False)
DELETE_ACCOUNT = Operation("DELETE", "/api/users/profile", idempotency_key=False)
EXPORT_MY_DATA = Operation("GET", "/api/users/export", idempotency_key=False)

# From the keyword argument to the field of the request.
LAUNCH_AGENT_ARGUMENTS = {
    "agent_name": "agentName",
    "description": "description",
    "role": "role",
    "avatar": "avatar",
    "character": "character",
    "plugins": "plugins",
    "platforms": "platforms",
    "environment": "environment",
    "supabase_config": "supabase_config",
    "scaling_policy": "scaling_policy",
    "framework": "framework",
    "model": "model",
    "system_prompt": "system_prompt",
    "settings": "settings",
    "visibility": "visibility",
    "max_tokens_per_day": "maxTokensPerDay",
    "idle": "idle",
    "resources": "resources",
}
UPDATE_AGENT_ARGUMENTS = {
    "agent_name": "agentName",
    "description": "description",
    "role": "role",
    "avatar": "avatar",
    "character": "character",
    "plugins": "plugins",
    "platforms": "platforms",
    "environment": "environment",
    "supabase_config": "supabase_config",
    "scaling_policy": "scaling_policy",
    "framework": "framework",
    "model": "model",
    "system_prompt": "system_prompt",
    "settings": "settings",
    "visibility": "visibility",
    "max_tokens_per_day": "maxTokensPerDay",
    "idle": "idle",
    "resources": "resources",
}
UPDATE_PROFILE_ARGUMENTS = {
    "username": "username",
    "user_metadata": "user_metadata",
    "notification_preferences": "notification_preferences",
}

# The HTTP status of each error code.
ERROR_STATUS = {
    "VALIDATION_ERROR": 400,
    "INVALID_FRAMEWORK": 400,
    "INVALID_MODEL": 400,
    "INVALID_JWT_TOKEN": 401,
    "INVALID_API_KEY": 401,
    "BUDGET_EXHAUSTED": 402,
    "INSUFFICIENT_PERMISSIONS": 403,
    "RLS_ACCESS_DENIED": 403,
    "AGENT_LIMIT_REACHED": 403,
    "PERMISSION_DENIED": 403,
    "AGENT_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "IDEMPOTENCY_CONFLICT": 409,
    "CONFLICT": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "SECURITY_SCAN_FAILED": 422,
    "MODEL_PRICE_MISSING": 422,
    "PLUGIN_NOT_ALLOWED": 422,
    "REAL_TIME_SUBSCRIPTION_FAILED": 422,
    "RESOURCE_LIMIT_EXCEEDED": 429,
    "RATE_LIMIT_EXCEEDED": 429,
    "DEPLOYMENT_FAILED": 500,
    "INTERNAL_ERROR": 500,
    "SUPABASE_CONNECTION_ERROR": 503,
}
