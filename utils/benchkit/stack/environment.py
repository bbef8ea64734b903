"""The gateway's environment: its variables, and generated secrets."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Literal

from benchkit.model import Model
from benchkit.stack.topology import GatewayNode

ADMIN_EMAIL = "admin@example.com"

# The gateway requires three kinds of characters in a password, and refuses any placeholder. A full stop counts as a
# special character and never needs quoting.
_STRONG_PREFIX = "Aa1."


class Secrets(Model):
    """``secrets.json``: created once per stack directory, because the stored databases depend on them."""

    schema_version: Literal[1] = 1
    jwt_secret_key: str
    auth_encryption_secret: str
    admin_password: str
    basic_auth_password: str
    default_user_password: str


def new_secrets() -> Secrets:
    """Return new secrets, strong enough for every release of the gateway."""
    return Secrets(
        jwt_secret_key=secrets.token_urlsafe(48),
        auth_encryption_secret=secrets.token_urlsafe(48),
        admin_password=_STRONG_PREFIX + secrets.token_urlsafe(24),
        basic_auth_password=_STRONG_PREFIX + secrets.token_urlsafe(24),
        default_user_password=_STRONG_PREFIX + secrets.token_urlsafe(24),
    )


def gateway_environment(
    gateway: GatewayNode, own: Secrets, *, host: str, database_url: str, redis_url: str | None
) -> dict[str, str]:
    """Return the environment variables of the toolkit's gateway; ``stack.gateway.settings`` override them."""
    environment = {
        # For the releases' second entry point, which has no flags and would listen on its default port.
        "HOST": host,
        "PORT": str(gateway.port),
        "DATABASE_URL": database_url,
        "JWT_SECRET_KEY": own.jwt_secret_key,
        "AUTH_ENCRYPTION_SECRET": own.auth_encryption_secret,
        "PLATFORM_ADMIN_EMAIL": ADMIN_EMAIL,
        "PLATFORM_ADMIN_PASSWORD": own.admin_password,
        "BASIC_AUTH_PASSWORD": own.basic_auth_password,
        "DEFAULT_USER_PASSWORD": own.default_user_password,
        # Otherwise the first login requires a new password.
        "PASSWORD_CHANGE_ENFORCEMENT_ENABLED": "false",
        "ADMIN_REQUIRE_PASSWORD_CHANGE_ON_BOOTSTRAP": "false",
        # On by default since 1.0: most requests of a load would get HTTP 429.
        "RATE_LIMITING_ENABLED": "false",
        # The simulated servers are on loopback.
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "LOG_LEVEL": "ERROR",
        # The gateway's own counts are read after a run, so they must be written soon and not be cached.
        "METRICS_BUFFER_FLUSH_INTERVAL": "5",
        "METRICS_CACHE_TTL_SECONDS": "1",
    }
    if redis_url is not None:
        environment |= {"CACHE_TYPE": "redis", "REDIS_URL": redis_url}
    return environment | gateway.settings


_PLACES = frozenset({"HOST", "PORT", "DATABASE_URL", "REDIS_URL"})


def database_key(gateway: GatewayNode, build: str, environment: Mapping[str, str]) -> str:
    """Return the name of a gateway's freshly migrated database, which depends on build, settings and secrets.

    Addresses and ports do not matter, because a migration does not store them.
    """
    said = {name: value for name, value in environment.items() if name not in _PLACES}
    text = json.dumps([gateway.version, build, gateway.database, said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
