#!/usr/bin/env -S python3 -Es
"""Check that the gateway's fixed bugs stay fixed, without load, for any release from 0.7.0 on.

  conformance.py                         the gateway at GATEWAY_URL, or the toolkit's own stack where it runs there
  conformance.py --url URL --json FILE   another one, and the findings as JSON
  conformance.py --tune results/latest   also hold the measured cost of logging against its limit

Checked are tokens whose "teams" claim holds ids, and tokens whose claim holds objects, on every team-scoped endpoint:
both have to be answered alike, and none may make the gateway fail (HTTP 500), nor may the login's own token, unless the
request fails without any teams as well. Then logging: at LOG_LEVEL=ERROR a request that succeeds writes
nothing (own stack only), and what logging costs under load, which `make tune` measures (--tune its directory), stays
within its limit (conformance.max_logging_percent of config.yaml).

The checks sign tokens of their own. For the toolkit's own stack they have its secret, for another gateway set
JWT_SECRET_KEY to its secret (JWT_ALGORITHM, JWT_ISSUER, JWT_AUDIENCE where they are not the gateway's defaults), and
GATEWAY_EMAIL, GATEWAY_PASSWORD or GATEWAY_TOKEN as for a run. What they make on the gateway is named perf-conformance,
belongs to the user's own team, and is removed; another gateway than the own stack's gets a minute before that, for it
would lose metrics of its own that it still has to write.

Exit codes: 0 no check failed; 1 a check failed; 2 usage, a gateway that is not there, or no secret.
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
"""How long the ordinary token has to last: all checks together take seconds."""

_METRICS_LAG_S = 65.0
"""How late a gateway may write its own metrics: 1.x does every 60 s unless it is told otherwise."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Check, print a line for each check, write; the module's text says how it is called."""
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
    # Closed, so that what was made on the gateway is removed however this ends.
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
    """What logging costs beyond doubt, in percent of the median latency; ``None`` where it was not measured.

    Of the 95 % interval the end that is best for the gateway, so that noise alone fails nobody.

    Raises:
        UserError: there is no tune.json, it is damaged, or it does not hold this setting.
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
