"""Variants: the gateways of a paired run, with what the user named and the directory and port each one gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchkit.disclosure import HIDDEN, address_problem
from benchkit.errors import UserError
from benchkit.model import Model
from benchkit.settings import NEWEST, Settings
from benchkit.stack.topology import address_of

_RELEASE = re.compile(rf"{NEWEST}|[0-9]+(\.[0-9]+)+(\.?(a|b|rc|post|dev)[0-9]+)*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_VARIABLE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)


class Variant(Model):
    """One gateway.

    ``spec`` is what the user wrote. The gateway is started from ``release`` (on PyPI) or ``source`` (a wheel or a
    checkout); one that already runs has neither. ``settings`` are environment variables of the gateway. ``place`` is
    the directory of its stack.
    """

    label: str
    spec: str
    kind: Literal["release", "source", "running"]
    release: str = ""
    source: str = ""
    url: str
    settings: dict[str, str]
    place: str


class Variants(Model):
    """``variants.json``: all gateways of one comparison. ``servers_place``: the stack of the shared servers."""

    schema_version: Literal[1] = 1
    variants: list[Variant]
    servers_place: str
    first_server_port: int

    @property
    def own(self) -> list[Variant]:
        """The gateways that the toolkit starts itself."""
        return [variant for variant in self.variants if variant.kind != "running"]


@dataclass(frozen=True)
class VariantSpec:
    """A variant as the user asked for it. ``flag``: the option, for messages. ``variables``: ``NAME=value`` texts."""

    label: str
    spec: str
    variables: Sequence[str] = ()
    flag: str = "--variant"


def resolve(
    wanted: Sequence[VariantSpec], settings: Settings, root: Path, *, is_free: Callable[[int], bool]
) -> Variants:
    """Give every variant a release or source, a directory below ``root``, and a port.

    Args:
        wanted: at least two variants.
        settings: of the comparison (``paired``, ``stack``).
        root: the directory of the variants' stacks.
        is_free: returns whether a loopback port is free.

    Raises:
        UserError: a spec names no gateway, two variants share a label, or settings are given for a running gateway.
    """
    # Check specs first: a label may be made from an address, and messages must not show a password in it.
    specs = [_spec(one) for one in wanted]
    labels = [one.label for one in wanted]
    for one in wanted:
        if not _LABEL.fullmatch(one.label):
            raise UserError(f"{one.flag} {one.label}: not a label; use letters, digits, '.', '_' and '-', at most 40")
        if labels.count(one.label) > 1:
            raise UserError(f"{one.flag} {one.label}: two variants have this label; give each its own")
    running = [url for kind, _, _, url in specs if kind == "running"]
    if len(set(running)) < len(running):
        raise UserError(f"{wanted[-1].flag} {running[-1]}: a running gateway cannot be compared with itself")
    paired = settings.config.paired
    ports = _free_ports(paired.first_port, len(wanted), is_free, "paired.first_port")
    servers = _free_ports(paired.first_server_port, settings.config.stack.servers, is_free, "paired.first_server_port")
    return Variants(
        variants=[_variant(one, port, root) for one, port in zip(wanted, ports, strict=True)],
        servers_place=str(root / ".servers"),  # no label begins with a full stop
        first_server_port=servers[0],
    )


def variant_settings(settings: Settings, variant: Variant) -> Settings:
    """Return the settings to start and measure a variant's gateway with."""
    config = settings.config
    if variant.kind == "running":
        service = config.service.model_copy(update={"base_url": variant.url, "mode": "external"})
        return settings.model_copy(update={"config": config.model_copy(update={"service": service})})
    gateway = config.stack.gateway.model_copy(
        update={
            "version": variant.release or config.stack.gateway.version,
            "source": variant.source,
            "settings": {**config.stack.gateway.settings, **variant.settings},
        }
    )
    update = {
        "service": config.service.model_copy(update={"base_url": variant.url, "mode": "local"}),
        # The token from the environment belongs to another gateway.
        "auth": config.auth.model_copy(update={"token": ""}),
        "stack": config.stack.model_copy(update={"gateway": gateway}),
    }
    return settings.model_copy(update={"config": config.model_copy(update=update)})


def servers_settings(settings: Settings, variants: Variants) -> Settings:
    """Return the settings to start the shared servers with."""
    stack = settings.config.stack.model_copy(update={"first_server_port": variants.first_server_port})
    return settings.model_copy(update={"config": settings.config.model_copy(update={"stack": stack})})


def _free_ports(first: int, count: int, is_free: Callable[[int], bool], key: str) -> list[int]:
    """Return the first ``count`` consecutive free ports from ``first`` on."""
    row: list[int] = []
    for port in range(first, 65536):
        row = [*row, port] if is_free(port) else []
        if len(row) == count:
            return row
    raise UserError(f"{key} = {first}: there are no {count} free ports in a row from there on; choose a lower one")


def _variant(wanted: VariantSpec, port: int, root: Path) -> Variant:
    kind, release, source, url = _spec(wanted)
    settings = _variables(wanted)
    if kind == "running" and settings:
        raise UserError(
            f"{wanted.flag}-env {next(iter(settings))}: {url} runs already, so it cannot be given settings; "
            "start it with them, or name a release, a wheel or a checkout"
        )
    return Variant(
        label=wanted.label,
        spec=wanted.spec,
        kind=kind,
        release=release,
        source=source,
        url=url or address_of(port),
        settings=settings,
        place=str(root / wanted.label),
    )


def _spec(wanted: VariantSpec) -> tuple[Literal["release", "source", "running"], str, str, str]:
    """Return kind, release, source and address."""
    spec = wanted.spec
    if "://" in spec:
        if problem := address_problem(spec):
            raise UserError(f"{wanted.flag.split()[0]}: {problem}")
        return "running", "", "", spec.rstrip("/")
    path = Path(spec).expanduser()
    if path.is_dir():
        if not (path / "pyproject.toml").exists():
            raise UserError(f"{wanted.flag} {spec}: is no checkout of the gateway, it has no pyproject.toml")
        return "source", "", str(path.resolve()), ""
    if path.suffix == ".whl":
        if not path.is_file():
            raise UserError(f"{wanted.flag} {spec}: there is no such wheel")
        return "source", "", str(path.resolve()), ""
    if _RELEASE.fullmatch(spec):
        return "release", spec, "", ""
    shown = f"{wanted.flag.split()[0]} {HIDDEN}" if "@" in spec else f"{wanted.flag} {spec!r}"
    raise UserError(
        f"{shown}: names no gateway; give a release (1.0.6), a wheel, a checkout's directory, or the "
        "address of one that runs (http://127.0.0.1:4444)"
    )


def _variables(wanted: VariantSpec) -> Mapping[str, str]:
    found = {}
    for text in wanted.variables:
        match = _VARIABLE.fullmatch(text)
        if match is None:
            # The text may be a secret, so the message does not repeat it.
            raise UserError(f"{wanted.flag}-env: must be KEY=VALUE, like LOG_LEVEL=INFO")
        found[match.group(1)] = match.group(2)
    return found
