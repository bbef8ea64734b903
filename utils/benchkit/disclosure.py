"""Decide what may be shown of addresses and gateway settings: in documents, pages, errors and on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

HIDDEN = "(not shown)"

# An allow-list: the gateway has hundreds of settings, plugins add more, and a list of all secret ones is impossible.
# In every release, these hold a switch, a number or a word, and affect the cost of a request.
_NAMES = """
    ADMIN_STATS_CACHE_ENABLED AUDIT_TRAIL_ENABLED AUTH_CACHE_BATCH_QUERIES AUTH_CACHE_ENABLED
    AUTH_CACHE_REVOCATION_TTL AUTH_CACHE_ROLE_TTL AUTH_CACHE_TEAMS_ENABLED AUTH_CACHE_TEAMS_TTL AUTH_CACHE_TEAM_TTL
    AUTH_CACHE_USER_TTL AUTH_REQUIRED CACHE_TYPE CLIENT_DISCONNECT_MIDDLEWARE_ENABLED COMPRESSION_BROTLI_QUALITY
    COMPRESSION_ENABLED COMPRESSION_GZIP_LEVEL COMPRESSION_MINIMUM_SIZE COMPRESSION_ZSTD_LEVEL
    CONTENT_PATTERN_DETECTION_ENABLED CORRELATION_ID_ENABLED DB_MAX_OVERFLOW DB_METRICS_RECORDING_ENABLED DB_POOL_CLASS
    DB_POOL_PRE_PING DB_POOL_RECYCLE DB_POOL_SIZE DB_POOL_TIMEOUT DB_PREPARE_THRESHOLD DB_QUERY_LOG_ENABLED
    DB_SQLITE_BUSY_TIMEOUT DEBUG DISABLE_ACCESS_LOG EXPERIMENTAL_RUST_MCP_RUNTIME_ENABLED EXPERIMENTAL_VALIDATE_IO
    GLOBAL_CONFIG_CACHE_TTL GUNICORN_MAX_REQUESTS GUNICORN_WORKERS HEALTH_CHECK_INTERVAL HTTPX_HTTP2_ENABLED
    HTTPX_KEEPALIVE_EXPIRY HTTPX_MAX_CONNECTIONS HTTPX_MAX_KEEPALIVE_CONNECTIONS JSON_RESPONSE_ENABLED
    JSON_SCHEMA_VALIDATION_STRICT LOG_BUFFER_SIZE_MB LOG_DETAILED_SAMPLE_RATE LOG_FORMAT LOG_LEVEL LOG_REQUESTS
    LOG_TO_FILE MCPGATEWAY_A2A_ENABLED MCPGATEWAY_ADMIN_API_ENABLED MCPGATEWAY_CATALOG_ENABLED
    MCPGATEWAY_LOGGING_OPTIMIZED MCPGATEWAY_PERFORMANCE_TRACKING MCPGATEWAY_SESSION_AFFINITY_ENABLED
    MCPGATEWAY_UI_ENABLED METRICS_AGGREGATION_ENABLED METRICS_BUFFER_ENABLED METRICS_BUFFER_FLUSH_INTERVAL
    METRICS_BUFFER_MAX_SIZE METRICS_CACHE_ENABLED METRICS_CACHE_TTL_SECONDS METRICS_CLEANUP_ENABLED
    METRICS_ROLLUP_ENABLED OBSERVABILITY_ENABLED OBSERVABILITY_SAMPLE_RATE OBSERVABILITY_TRACE_HTTP_REQUESTS
    OTEL_ENABLE_OBSERVABILITY PAGINATION_DEFAULT_PAGE_SIZE PAGINATION_MAX_PAGE_SIZE PERFORMANCE_TRACKING_ENABLED
    PERMISSION_AUDIT_ENABLED PLUGINS_ENABLED PROMPT_CACHE_SIZE RATE_LIMITING_ENABLED REDIS_MAX_CONNECTIONS REDIS_PARSER
    REGEX_WORKERS REGISTRY_CACHE_ENABLED REGISTRY_CACHE_GATEWAYS_TTL REGISTRY_CACHE_PROMPTS_TTL
    REGISTRY_CACHE_RESOURCES_TTL REGISTRY_CACHE_SERVERS_TTL REGISTRY_CACHE_TOOLS_TTL RESOURCE_CACHE_SIZE
    RESOURCE_CACHE_TTL SANITIZE_OUTPUT SECURITY_HEADERS_ENABLED SECURITY_LOGGING_ENABLED SSE_KEEPALIVE_ENABLED
    SSE_KEEPALIVE_INTERVAL STRUCTURED_LOGGING_DATABASE_ENABLED STRUCTURED_LOGGING_ENABLED
    TOKEN_LAST_USED_UPDATE_INTERVAL_MINUTES TOKEN_USAGE_LOGGING_ENABLED TOOL_CONCURRENT_LIMIT TOOL_LOOKUP_CACHE_ENABLED
    TOOL_LOOKUP_CACHE_TTL_SECONDS TOOL_RATE_LIMIT TOOL_TIMEOUT USE_POSTGRESDB_PERCENTILES USE_STATEFUL_SESSIONS
    UVICORN_ACCESS_LOG UVICORN_BACKLOG UVICORN_HTTP UVICORN_LOOP VALIDATION_MIDDLEWARE_ENABLED WEB_CONCURRENCY
"""
SHOWN_SETTINGS = frozenset(_NAMES.split())

_PLAIN = re.compile(r"-?\d{1,12}(\.\d{1,6})?|[A-Za-z][A-Za-z_-]{0,15}")
"""A number, a switch or a word."""

_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(\S*)")


def shown_setting(name: str, value: str) -> str:
    """Return a setting's value for display: :data:`HIDDEN` unless its name is listed and its value is a plain one."""
    return value if name in SHOWN_SETTINGS and (not value or _PLAIN.fullmatch(value)) else HIDDEN


def shown_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Return all settings for display as :func:`shown_setting`, sorted by name."""
    return {name: shown_setting(name, value) for name, value in sorted(variables.items())}


def address_problem(text: str) -> str:
    """Return why a text cannot be the address of a gateway or MCP server; empty if it can. The text is not repeated.

    An address is stored with every run and appears on the load generator's command line, so it must not hold a secret:
    no user and password, no query (``?token=…``), no fragment.
    """
    if not re.match(r"(?i)https?://", text):
        return "must be an http:// or https:// address, like http://127.0.0.1:4444"
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        return "must hold no white space, control character or backslash"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # A password with a slash or a bracket can look like a wrong port or host, so do not show the parser's message.
        return "its host or port is malformed; it must be like http://127.0.0.1:4444, without user and password"
    if "@" in text:
        return (
            "must hold no user and password, for addresses are shown and stored: set GATEWAY_EMAIL and "
            "GATEWAY_PASSWORD, or GATEWAY_TOKEN"
        )
    if "?" in text or "#" in text:
        return "must be an address without query and fragment, like http://127.0.0.1:4444"
    return "" if host else "names no host; it must be like http://127.0.0.1:4444"


def redacted(text: str) -> str:
    """Replace the user, the password and the query of every address in a text with :data:`HIDDEN`."""
    return _URL.sub(_without_secrets, text)


def _without_secrets(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    _, at, after = rest.rpartition("@")
    rest = f"{HIDDEN}@{after}" if at else rest
    before, question, _ = rest.partition("?")
    return f"{scheme}{before}?{HIDDEN}" if question else f"{scheme}{rest}"
