"""What is said about the time: never less certain than it sounds."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from benchkit.load.driver import WARM_UP, steps
from benchkit.load.progress import Estimate, Progress
from benchkit.model import Probe
from builders.driven import case, plan_of


def probes(latency_ms: float, *names: str) -> dict[str, Probe]:
    return {f"s/{name}": Probe(at=datetime.now(UTC), latency_ms=latency_ms, status=200) for name in names}


def test_a_single_request_gives_bounds_and_a_round_gives_the_time() -> None:
    plan = plan_of(case("a", "http://x", warmup_requests=0))
    estimate = Estimate(plan, probes(1000, "a"))
    first, second = steps(plan)
    # 10 requests of 1 s, by 2 workers: all at once takes 5 s, one at a time 10 s; two rounds.
    assert estimate.of(first) == (5.0, 10.0)
    assert estimate.left([first, second]) == "10 s to 20 s"
    estimate.learn(first, 30.0)
    assert estimate.left([second]) == "about 30 s"


def test_the_warm_up_already_tells_the_rate() -> None:
    plan = plan_of(case("a", "http://x", warmup_requests=5))
    estimate = Estimate(plan, probes(1000, "a"))
    warm_up, first, _ = steps(plan)
    assert warm_up.round == WARM_UP
    estimate.learn(warm_up, 10.0)
    assert estimate.of(first) == (20.0, 20.0)


def test_a_case_that_is_not_measured_any_more_takes_no_time() -> None:
    plan = plan_of(case("slow", "http://x", warmup_requests=0), case("quick", "http://x", warmup_requests=0))
    failed: set[str] = set()
    estimate = Estimate(plan, probes(30_000, "slow") | probes(1000, "quick"), failed)
    every = list(steps(plan))
    assert estimate.left(every) == "5 min 10 s to 10 min 20 s"
    failed.add("s/slow")
    assert estimate.left(every) == "10 s to 20 s"
    # What a token has to last for is not cut short by it.
    assert estimate.of(every[0])[1] == 300.0


def test_a_case_whose_first_check_failed_counts_only_when_it_was_measured_all_the_same() -> None:
    plan = plan_of(case("wrong", "http://x", warmup_requests=0), case("quick", "http://x", warmup_requests=0))
    wrong = {"s/wrong": Probe(at=datetime.now(UTC), latency_ms=30_000, problem="no answer within 30 s")}
    estimate = Estimate(plan, wrong | probes(1000, "quick"))
    every = list(steps(plan))
    assert estimate.left(every) == "10 s to 20 s"
    estimate.learn(every[0], 60.0)
    assert estimate.left(every) == "about 2 min 20 s"


def test_a_kind_that_failed_does_not_lengthen_its_group() -> None:
    plan = plan_of(
        case("a", "http://x", group="g", warmup_requests=0), case("b", "http://x", group="g", warmup_requests=0)
    )
    estimate = Estimate(plan, probes(1000, "a") | probes(3000, "b"), {"s/b"})
    assert estimate.expected(next(iter(steps(plan))))[1] == 10.0


def test_kinds_that_run_at_once_take_as_long_as_the_longest() -> None:
    plan = plan_of(
        case("a", "http://x", group="g", warmup_requests=0), case("b", "http://x", group="g", warmup_requests=0)
    )
    estimate = Estimate(plan, probes(1000, "a") | probes(3000, "b"))
    assert estimate.of(next(iter(steps(plan))))[1] == 30.0


def test_without_a_terminal_each_step_is_a_line() -> None:
    stream = io.StringIO()
    plan = plan_of(case("a", "http://x"))
    progress = Progress(3, 2, stream)
    for step in steps(plan):
        progress.begin(step, 5.0, "about 9 s")
        progress.end()
    assert stream.getvalue().splitlines() == [
        "[1/3] warm-up  s/a  (left: about 9 s)",
        "[2/3] round 1/2  s/a  (left: about 9 s)",
        "[3/3] round 2/2  s/a  (left: about 9 s)",
    ]


def test_on_a_terminal_the_line_is_taken_back() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(1, 1, stream)
    progress.begin(next(iter(steps(plan_of(case("a", "http://x"))))), 5.0, "about 9 s")
    progress.end()
    assert stream.getvalue().startswith("\r\033[K[1/1] warm-up  s/a")
    assert stream.getvalue().endswith("\r\033[K")
    assert "\n" not in stream.getvalue()
