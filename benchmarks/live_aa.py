"""Compare a gateway release with itself, repeatedly, on the real gateway, and count the false alarms (A/A test).

Each suite is one ./run-advanced.sh with the same release as base and head, so every change that it reports is a false
alarm. Prints a line per suite and the count at the end. The suites' directories are kept in the results directory, so
that benchmarks/verdicts.py --condense paired can create recorded data from them.

  benchmarks/live_aa.py --suites 20 --release 1.0.7

An alarm is a suite with exit code 1, or any change reported for a case or for the mean of all cases.

Exit code 0 without an alarm, 1 with one or more, 2 if a suite could not be measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "utils"))

# pylint: disable=wrong-import-position  # the path is set above
from benchkit.errors import ExitCode  # noqa: E402
from benchkit.model import Comparison, MetricComparison, Verdict  # noqa: E402
from benchkit.store import load  # noqa: E402

CASES = "gateway-core/health,tools/list_limit_10,tools/rpc_list"
ALARMS = frozenset({Verdict.CRITICAL, Verdict.REGRESSION, Verdict.SLOWER, Verdict.IMPROVEMENT})
"""Verdicts that report a change. Only the first two fail a run, but in an A/A test all of them are wrong."""


def main() -> int:
    """Measure, count the alarms, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=20, metavar="N", help="number of suites (20)")
    parser.add_argument("--release", default="1.0.7", metavar="SPEC", help="the gateway, as base and head (1.0.7)")
    parser.add_argument("--cases", default=CASES, metavar="PATTERNS", help=f"cases of a suite ({CASES})")
    parser.add_argument("--blocks", type=int, default=5, metavar="K", help="planned blocks of a suite (5)")
    parser.add_argument("--requests", type=int, metavar="N", help="per case, variant and round (as config.yaml says)")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="measurements of each case within a block (as config.yaml says)"
    )
    parser.add_argument("--results-dir", type=Path, default=ROOT / "results" / "aa", metavar="DIR", help="(results/aa)")
    arguments = parser.parse_args()
    alarms = failures = 0
    for number in range(1, arguments.suites + 1):
        begun = time.monotonic()
        result = subprocess.run(_command(arguments), cwd=ROOT, capture_output=True, text=True, check=False)
        took = f"{time.monotonic() - begun:.0f} s"
        if result.returncode not in (0, 1):
            failures += 1
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"suite {number:2}: not measured, exit {result.returncode} after {took}: {last}", flush=True)
            continue
        comparison = load(arguments.results_dir / "latest" / "comparison.json", Comparison, "comparison")
        claims = _claims(comparison)
        if result.returncode == ExitCode.REGRESSION and not claims:
            claims = f"; ALARM {comparison.reason}"
        alarms += bool(claims)
        print(f"suite {number:2}: exit {result.returncode}, {_words(comparison)}, {took}{claims}", flush=True)
    measured = arguments.suites - failures
    print(f"{alarms} of {measured} suites with an alarm; {failures} not measured")
    return 1 if alarms else 2 if failures else 0


def _claims(comparison: Comparison) -> str:
    """Return the changes that a comparison reports, over all cases and of each case; empty if none."""
    of_all = [("suite", name, metric) for name, metric in comparison.suite.items()]
    of_each = [(case.id, name, metric) for case in comparison.cases for name, metric in case.metrics.items()]
    return "".join(
        f"; ALARM {whose} {name} {metric.change_percent or 0.0:+.1f} % ({_chance(metric)})"
        for whose, name, metric in [*of_all, *of_each]
        if not metric.advisory and metric.verdict in ALARMS
    )


def _chance(metric: MetricComparison) -> str:
    """Return ``q 0.0021``, or the p of a mean over all cases, which is not corrected."""
    if metric.q_value is not None:
        return f"q {metric.q_value:.2g}"
    return "not by chance" if metric.p_value is None else f"p {metric.p_value:.2g}"


def _words(comparison: Comparison) -> str:
    """Return ``2 unchanged, 1 inconclusive; 10 blocks``."""
    verdicts = Counter(case.verdict.value for case in comparison.cases)
    blocks = max((metric.samples or 0 for case in comparison.cases for metric in case.metrics.values()), default=0)
    return ", ".join(f"{count} {word}" for word, count in sorted(verdicts.items())) + f"; {blocks} blocks"


def _command(arguments: argparse.Namespace) -> list[str]:
    spec = str(arguments.release)
    options = {
        "--base": spec,
        "--head": spec,
        "--scenarios": ",".join(dict.fromkeys(one.partition("/")[0] for one in arguments.cases.split(","))),
        "--cases": arguments.cases,
        "--blocks": str(arguments.blocks),
        "--results-dir": str(arguments.results_dir),
    }
    for name in ("requests", "rounds"):
        if getattr(arguments, name) is not None:
            options[f"--{name}"] = str(getattr(arguments, name))
    return ["./run-advanced.sh", "--no-report", *(word for pair in options.items() for word in pair)]


if __name__ == "__main__":
    sys.exit(main())
