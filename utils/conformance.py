#!/usr/bin/env -S python3 -Es
"""Check that the gateway's fixed bugs stay fixed, without load, for any release from 0.7.0 on.

  conformance.py                         the gateway at GATEWAY_URL, or the toolkit's own stack if it runs there
  conformance.py --url URL --json FILE   another gateway; write the findings as JSON too
  conformance.py --tune results/latest   also check the measured cost of logging against its limit

The checks send tokens whose "teams" claim holds ids, and tokens whose claim holds objects, to every team-scoped
endpoint. Both must get the same answer, and neither may make the gateway fail (HTTP 500). The same goes for the login's
own token, unless the request also fails without any teams. The checks of logging: at LOG_LEVEL=ERROR a successful
request writes nothing (own stack only), and the cost of logging under load, which `make tune` measures (--tune its
directory), stays within its limit (conformance.max_logging_percent of config.yaml).

The checks sign their own tokens. For the toolkit's own stack they use its secret. For another gateway set
JWT_SECRET_KEY to its secret (JWT_ALGORITHM, JWT_ISSUER, JWT_AUDIENCE if they are not the gateway's defaults), and
GATEWAY_EMAIL, GATEWAY_PASSWORD or GATEWAY_TOKEN as for a run. Objects that the checks create on the gateway are named
perf-conformance, belong to the user's own team, and are removed. On a gateway that is not the own stack's, the removal
waits for a minute, because the gateway would lose metrics that it has not written yet.

Exit codes: 0 no check failed; 1 a check failed; 2 usage, an unreachable gateway, or no secret.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.gateway.access import OwnStack, access_for, enter, is_own
from benchkit.gateway.client import Gateway
from benchkit.gateway.conformance import (
    TIMEOUT_S,
    Conclusion,
    Conformance,
    Finding,
    Signer,
    User,
    check_logging,
    check_quiet,
    check_teams,
)
from benchkit.gateway.counters import lag_of
from benchkit.gateway.target import read_version
from benchkit.model import VariantStudy
from benchkit.plain import printable
from benchkit.run.target import own_stack
from benchkit.settings import load_settings
from benchkit.stack.state import default_paths, read_state

LOGGING_VARIANT = "log_level_info"
"""The setting of ``paired.tune`` that turns the gateway's own logging on."""

_METRIC = "p50_latency"

_TOKEN_S = 300.0
"""Lifetime of the ordinary token in seconds; all checks together take seconds."""

_METRICS_LAG_S = 65.0
"""Longest delay before a gateway writes its own metrics, in seconds; the default of 1.x is 60 s."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Check, print a line for each check, write; the module's docstring describes the usage."""
    options = _parser().parse_args(arguments)
    settings = load_settings(flags={"--url": options.url} if options.url else {})
    own = own_stack(read_state())
    own = own if is_own(settings, own) else None
    gateway, session = enter(settings, own)
    if not session.needed:
        raise UserError(f"{gateway.base_url} answers without a token, so no token's claims can be checked")
    token = session.renewed_for(_TOKEN_S)
    release = read_version(gateway).release
    print(f"{gateway.base_url}: {release or 'release unknown'}", flush=True)
    findings = []
    user = User(access_for(settings, own).credentials.email, token)
    limit = settings.config.conformance.max_logging_percent
    # Closing it removes the objects made on the gateway, however this ends.
    with closing(_findings(options, gateway, user, own, limit)) as found:
        for finding in found:
            print(_line(finding), flush=True)
            findings.append(finding)
    if options.json is not None:
        store.save(options.json, Conformance(base_url=gateway.base_url, release=release, findings=findings))
    counts = Counter(finding.conclusion for finding in findings)
    failed = counts[Conclusion.FAILED]
    print(f"{failed} failed, {counts[Conclusion.OK]} ok, {counts[Conclusion.NOT_APPLICABLE]} not applicable")
    return ExitCode.REGRESSION if failed else ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", metavar="URL", help="the gateway's address, instead of GATEWAY_URL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there as well")
    parser.add_argument(
        "--timeout", type=_positive, default=TIMEOUT_S, metavar="SECONDS", help="for one request (default: %(default)g)"
    )
    parser.add_argument("--tune", type=Path, metavar="DIR", help="what make tune measured: holds the cost of logging")
    return parser


def _findings(
    options: argparse.Namespace, gateway: Gateway, user: User, own: OwnStack | None, limit_percent: float
) -> Generator[Finding, None, None]:
    signer = _signer(gateway, own)
    if own is not None:
        log = default_paths().logs / "gateway.log"
        yield check_quiet(gateway, user.token, lambda: _size(log), own.mint.environment.get("LOG_LEVEL", "INFO"))
    lag_s = lag_of(own.mint.environment) if own is not None else _METRICS_LAG_S
    yield from check_teams(gateway, user, signer, _warn, timeout_s=options.timeout, lag_s=lag_s)
    yield check_logging(_measured_percent(options.tune), limit_percent)


def _measured_percent(directory: Path | None) -> float | None:
    """Return the proven cost of logging, in percent of the median latency; ``None`` if it was not measured.

    This is the end of the 95 % interval that is best for the gateway, so that noise alone cannot fail the check.

    Raises:
        UserError: tune.json is missing or damaged, or does not contain this setting.
    """
    if directory is None:
        return None
    path = directory / "tune.json"
    document = store.load(path, VariantStudy, "measurement of settings")
    step = next((step for step in document.steps if step.head == LOGGING_VARIANT), None)
    compared = step.overall(_METRIC) if step is not None else None
    if compared is None or compared.interval is None:
        raise UserError(f"{path}: does not hold what {LOGGING_VARIANT} of paired.tune costs; run make tune with it")
    return max(0.0, -compared.interval[1])


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _signer(gateway: Gateway, own: OwnStack | None) -> Signer:
    signer = Signer.of(own.mint.environment if own is not None else os.environ)
    if signer is None:
        raise UserError(
            f"{gateway.base_url}: the checks sign tokens of their own: set JWT_SECRET_KEY to this gateway's secret"
        )
    return signer


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError as error:
        raise UserError(f"{log}: the gateway's log cannot be read: {os_reason(error)}") from error


def _line(finding: Finding) -> str:
    state = f"{finding.conclusion:<14}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb":
        colours = {Conclusion.OK: 32, Conclusion.FAILED: 31, Conclusion.NOT_APPLICABLE: 33}
        state = f"\033[{colours[finding.conclusion]}m{state}\033[0m"
    return f"{state} {finding.name:<40} {printable(finding.text)}"


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")
    return value


if __name__ == "__main__":
    run_program(main)
