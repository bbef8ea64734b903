"""The gateway's releases: resolve the configured one, and locate its installation.

``utils/gateway-locks`` has a lock with hashes for each release that was tested with this toolkit: ``1.1.0.lock``.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from benchkit.errors import UserError, os_reason
from benchkit.settings import NEWEST, ROOT, GatewayStack

LOCKS = ROOT / "utils" / "gateway-locks"
INSTALLATIONS = ROOT / ".tools" / "gateway"
_STAMP = ".setup-stamp"

_REPRODUCIBLE_BUILDS = (date(1980, 1, 1), date(2016, 1, 1), date(2020, 2, 2))
"""Dates that build tools write into a wheel to make builds reproducible."""


def wanted_release(gateway: GatewayStack) -> str:
    """Return the release that ``stack.gateway.version`` stands for.

    ``newest`` is the newest installed release with a committed lock. Set-up installed the newest one that a Python of
    this machine supports (``gateway_choose`` of ``utils/lib/gateway.sh``).

    Raises:
        UserError: it is ``newest``, and none of them is installed.
    """
    if gateway.version != NEWEST:
        return gateway.version
    for release in tested_releases():
        directory = INSTALLATIONS / release
        if (directory / _STAMP).exists() and (directory / "bin" / "python").exists():
            return release
    raise UserError(f"no release of the gateway is installed in {INSTALLATIONS}: run make setup")


def tested_releases() -> list[str]:
    """Return the releases with a committed lock, newest first, without pre-releases."""
    releases = [path.stem for path in LOCKS.glob("*.lock") if re.fullmatch(r"[0-9]+(\.[0-9]+)*", path.stem)]
    return sorted(releases, key=lambda release: [int(part) for part in release.split(".")], reverse=True)


def installation_name(gateway: GatewayStack) -> str:
    """Return the name of a gateway's environment below ``.tools/gateway``; raises as :func:`wanted_release`."""
    return source_name(source_path(gateway.source)) if gateway.source else wanted_release(gateway)


def source_path(source: str) -> Path:
    """Return the absolute path, without links, of a wheel or checkout, relative to the toolkit's directory.

    Raises:
        UserError: it begins with the home directory of an unknown user.
    """
    try:
        return (ROOT / Path(source).expanduser()).resolve()
    except RuntimeError as error:
        raise UserError(f"GATEWAY_SOURCE (stack.gateway.source in config.yaml) {source!r}: {error}") from error


def source_name(path: Path) -> str:
    """Return the name of the environment of a wheel or checkout."""
    return f"source-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def built_version(name: str) -> str:
    """Return the release that an installed build reports.

    Raises:
        UserError: it is not installed.
    """
    directory = INSTALLATIONS / name
    for metadata in sorted(directory.glob("lib/python*/site-packages/mcp_contextforge_gateway-*.dist-info")):
        return metadata.name.removesuffix(".dist-info").partition("-")[2]
    raise UserError(f"{directory}: the gateway's build is not installed: run make setup with the same GATEWAY_SOURCE")


def python_of(name: str) -> str | None:
    """Return the Python version of an installed gateway; ``None`` if its environment does not contain it."""
    return _line_of(INSTALLATIONS / name / "pyvenv.cfg", r"version(?:_info)? *= *([0-9.]+)")


def packages_of(name: str) -> str | None:
    """Return the first 12 digits of the SHA-256 of an installed gateway's lock, or ``None``."""
    return _line_of(INSTALLATIONS / name / _STAMP, r"sha256 ([0-9a-f]{12})[0-9a-f]*")


def _line_of(path: Path, pattern: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((found.group(1) for line in lines if (found := re.fullmatch(pattern, line.strip()))), None)


def wheel_day(path: Path) -> str:
    """Return the day on which a wheel was built as ``YYYY-MM-DD``: the newest time of its files.

    Empty for a checkout, and for a wheel of a reproducible build, whose files have no real time.

    Raises:
        UserError: the file is no wheel.
    """
    if not _is_wheel(path):
        return ""
    with _opened(path) as wheel:
        times = [info.date_time[:3] for info in wheel.infolist()]
    days = [day for time in times if (day := _day(*time)) is not None]
    newest = max(days, default=_REPRODUCIBLE_BUILDS[0])
    is_real = newest not in _REPRODUCIBLE_BUILDS and newest <= datetime.now(UTC).date()
    return newest.isoformat() if is_real else ""


def required_python(path: Path) -> str:
    """Return ``Requires-Python`` of a wheel, or ``requires-python`` of a checkout; empty if it is missing.

    Raises:
        UserError: the file is no wheel, or the checkout's pyproject.toml cannot be read.
    """
    if _is_wheel(path):
        with _opened(path) as wheel:
            names = [name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            text = wheel.read(names[0]).decode("utf-8", errors="replace") if names else ""
        found = re.search(r"^Requires-Python: *(.*)$", text.partition("\n\n")[0], re.MULTILINE)
        return found.group(1).strip() if found else ""
    file = path / "pyproject.toml"
    if not file.is_file():
        return ""
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {os_reason(error)}") from error
    except ValueError as error:  # includes invalid UTF-8
        raise UserError(f"{file}: is no TOML: {error}") from error
    required = project.get("requires-python") if isinstance(project, dict) else None
    return required if isinstance(required, str) else ""


def _is_wheel(path: Path) -> bool:
    return path.suffix == ".whl" and path.is_file()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as wheel:
            yield wheel
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: is no wheel: {error}") from error


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:  # a ZIP file may contain day 0 of month 0
        return None
