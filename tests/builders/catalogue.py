"""A stand-in for what a gateway lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchkit.errors import ForbiddenError
from benchkit.model import Entity


@dataclass
class FakeCatalogue:
    """A gateway with four simulated servers and 104 tools."""

    tools: int = 104
    honours_limit: bool = True
    missing: set[str] = field(default_factory=set)
    refuses: str = ""
    no_permission: dict[str, str] = field(default_factory=dict)

    def tool(self, original: str, server: str) -> Entity | None:
        slug = original.replace("_", "-")
        return None if original in self.missing else Entity(f"{server}-{slug}", original, f"id-{slug}", server)

    def resource(self, uri: str, server: str) -> Entity | None:
        return None if "{server}" in uri else Entity(uri, uri.rsplit("/", 1)[-1], f"id-{server}", server)

    def prompt(self, original: str, server: str) -> Entity | None:
        if original.startswith("perf_"):
            return Entity(original.replace("_", "-"), original, "id-own")
        return Entity(f"{server}-{original}", original, f"id-{server}-prompt", server)

    def check_arguments(self, original: str, server: str, arguments: Mapping[str, Any]) -> str:
        return self.refuses

    def refused(self, kind: str) -> str:
        return self.no_permission.get(kind, "")

    def total(self, kind: str) -> int:
        return {"tools": self.tools}.get(kind, 4)

    def listed(self, kind: str, limit: int | None) -> int:
        total = self.total(kind)
        return min(total, limit) if limit and self.honours_limit else total

    def rpc_listed(self, kind: str) -> int:
        if kind in self.no_permission:
            raise ForbiddenError("HTTP 403", f"{kind}.read")
        return self.total(kind)
