"""The pages about several runs: what they show, what they refuse, and that they make no verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import BaselineReference, Run, VariantStudy
from benchkit.report.chart_library import ChartLibrary
from benchkit.run.pages import page_of, page_of_trend
from benchkit.verdict.compare import compare_paired
from benchkit.verdict.stored_runs import read_history
from benchkit.verdict.trend import trend_of
from benchkit.verdict.variant_study import history
from builders.colours import contrast
from builders.documents import HOSTILE_NAMES, comparison, environment
from builders.judged import LIMITS, elsewhere, program, run_of
from builders.paired import blocks_of, noisy, variant
from builders.studies import CASES, figured, on_databases, ordinary, scaled, spoilt, written
from builders.trends import LEVELS, released, store_runs
from builders.variants import measured

CHARTS = ChartLibrary("/* a chart library */")
Golden = Callable[[str, object], None]


def data_of(html: str) -> Any:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(block)


def main_of(html: str) -> str:
    main = re.search(r"<main.*</main>", html, re.DOTALL)
    assert main is not None
    return re.sub(r"\n\s*\n+", "\n", main.group()) + "\n"


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", main_of(html)).split())


def page(tmp_path: Path, runs: list[Run], kind: str = "compare", reference: int = 1) -> str:
    return page_of(kind, written(tmp_path, runs), reference, CHARTS)


def paired(tmp_path: Path, *, judged: bool = True) -> Path:
    """A directory as ./run-advanced.sh leaves it, of two gateways of which one is a third slower at one case."""
    base = variant("base", *(blocks_of(f"tools/case_{n}", noisy(n, 50.0)) for n in range(6)))
    head = variant("head", *(blocks_of(f"tools/case_{n}", noisy(n + 100, 66.0 if n == 3 else 50.0)) for n in range(6)))
    written(tmp_path, [base, head])
    if judged:
        store.save(tmp_path / "comparison.json", compare_paired(base, head, LIMITS))
    return tmp_path


# --- golden files ----------------------------------------------------------------------------------------------------


def three() -> list[Run]:
    return [ordinary(1), ordinary(2, 1.12), spoilt(ordinary(3, 0.9, environment=environment(requests=200)))]


def trend_html(tmp_path: Path) -> str:
    store_runs(tmp_path, 40, LEVELS, surroundings=released)
    found = read_history(tmp_path)
    return page_of_trend(
        trend_of(found, "light", cases="*", metrics=("p50_latency", "requests_per_sec"), last=200), CHARTS
    )


PAGES: dict[str, Callable[[Path], str]] = {
    "compare": lambda path: page(path, three()),
    "paired": lambda path: page_of("compare", [paired(path)], 1, CHARTS),
    "scalability": lambda path: page(path, scaled([1, 5, 10, 20, 50, 100], repeats=2, noise=0.02), "scalability"),
    "database": lambda path: page(path, on_databases(), "database"),
    "trend": trend_html,
}


@pytest.mark.parametrize("name", PAGES)
def test_tables_and_data(name: str, tmp_path: Path, golden: Golden) -> None:
    html = PAGES[name](tmp_path)
    golden(f"pages/{name}.html", main_of(html))
    golden(f"pages/{name}.json", data_of(html))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_and_has_one_canvas_for_each_plot(name: str, tmp_path: Path) -> None:
    html = PAGES[name](tmp_path)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:,)""", html)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src &#39;none&#39;" in html
    numbers = [int(number) for number in re.findall(r'data-plot="(\d+)"', html)]
    assert numbers == list(range(len(data_of(html)["plots"])))
    assert numbers


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_there_once(name: str, tmp_path: Path) -> None:
    ids = re.findall(r'\bid="([^"]*)"', PAGES[name](tmp_path))
    assert len(set(ids)) == len(ids)


# --- no verdict is made ----------------------------------------------------------------------------------------------


def test_differences_of_unjudged_runs_are_estimates_and_say_how_to_get_a_verdict(tmp_path: Path) -> None:
    html = page(tmp_path, [ordinary(1), ordinary(2, 1.4)])
    text = text_of(html)
    assert "Not judged light_run2 compared with light_run1: differences are estimates without a verdict." in text
    assert "./run-advanced.sh --base … --head …" in text
    assert "make baseline" in text
    assert "≈ 40.0 % higher" in text
    assert "≈ 28.6 % lower" in text
    assert not re.search(r"\b(regression|critical|improvement|better|worse|slower|faster)\b", text)
    assert text.count("not judged") >= len(CASES)


def test_paired_runs_have_the_verdicts_of_their_comparison(tmp_path: Path) -> None:
    text = text_of(page_of("compare", [paired(tmp_path)], 1, CHARTS))
    assert "Critical regression head compared with base." in text
    assert "≈" not in text
    assert "not judged" not in text
    assert re.search(r"critical 3\d\.\d % worse", text)


def test_paired_runs_without_a_comparison_are_not_judged_here(tmp_path: Path) -> None:
    text = text_of(page_of("compare", [paired(tmp_path, judged=False)], 1, CHARTS))
    assert "Not judged" in text
    assert "≈" in text


def test_a_comparison_the_other_way_round_judges_nothing(tmp_path: Path) -> None:
    text = text_of(page_of("compare", [paired(tmp_path)], 2, CHARTS))
    assert "Not judged base compared with head" in text


def test_releases_have_the_verdicts_of_the_steps_from_the_first(tmp_path: Path) -> None:
    directory = measured(tmp_path / "history_1")
    store.save(directory / "history.json", history(directory, LIMITS))
    assert store.load(directory / "history.json", VariantStudy, "history").variants
    text = text_of(page_of("compare", [directory], 1, CHARTS))
    assert "2 of 2 judged 2 runs compared with 1.0.5." in text
    text = text_of(page_of("compare", [directory], 3, CHARTS))
    assert "Not judged" in text


@pytest.mark.parametrize(("runs", "judged"), [(["light_run1"], True), (["light_run1", "light_run0"], False)])
def test_a_baseline_of_the_reference_alone_judges(tmp_path: Path, runs: list[str], judged: bool) -> None:
    first, second = ordinary(1), ordinary(2)
    paths = written(tmp_path, [first, second])
    reference = BaselineReference(profile="light", version=1, runs=runs)
    store.save(paths[1] / "comparison.json", comparison(second, {}, baseline=reference))
    text = text_of(page_of("compare", paths, 1, CHARTS))
    assert ("Passed light_run2 compared with light_run1." in text) == judged


def test_some_judged_and_some_not(tmp_path: Path) -> None:
    paths = written(tmp_path, [ordinary(1), ordinary(2), ordinary(3)])
    reference = BaselineReference(profile="light", version=1, runs=["light_run1"])
    store.save(paths[1] / "comparison.json", comparison(ordinary(2), {}, baseline=reference))
    text = text_of(page_of("compare", paths, 1, CHARTS))
    assert (
        "1 of 2 judged 2 runs compared with light_run1: the other differences are estimates without a verdict." in text
    )


# --- what is not the same ---------------------------------------------------------------------------------------------


def test_other_loads_and_machines_are_said_at_the_top(tmp_path: Path) -> None:
    around = elsewhere(environment(requests=200, profile="medium"), machine={"cores": 8}, target={"workers": 4})
    text = text_of(page(tmp_path, [ordinary(1), ordinary(2, environment=around, profile="medium")]))
    head = text.split("The runs")[0]
    assert "under different loads" in head
    assert "Not the same load: light_run2 against light_run1: requests 100 → 200." in head
    assert "Not the same machine: light_run2 against light_run1: cores 2 → 8." in head
    assert "light_run2 : workers 1 → 4" in text


def test_a_case_without_a_result_has_its_word_and_reason_and_no_figure(tmp_path: Path) -> None:
    hidden = spoilt(ordinary(2))
    leaky = hidden.cases[0].model_copy(update={"metrics": {"p50_latency": 7777.0}})
    html = page(tmp_path, [ordinary(1), hidden.model_copy(update={"cases": [leaky, *hidden.cases[1:]]})])
    text = text_of(html)
    assert "7777" not in html
    for words in (
        "invalid 298 of 300 requests failed: http 429.",
        "interrupted The run was stopped.",
        "skipped Release 0.7.0 has no resources.",
        "not measured Not part of light_run2.",
    ):
        assert words in text
    plots = data_of(html)["plots"]
    assert all(value is None for plot in plots for value in plot["series"][1]["values"])
    assert all(value for plot in plots for value in plot["series"][0]["values"])


# --- which runs -------------------------------------------------------------------------------------------------------


def test_runs_are_taken_once_and_named_by_variant_id_or_place(tmp_path: Path) -> None:
    first, second = written(tmp_path, [ordinary(1), ordinary(2)])
    (tmp_path / "latest").symlink_to(second.name)
    assert "light_run2 compared with light_run1" in text_of(
        page_of("compare", [first, second, tmp_path / "latest"], 1, CHARTS)
    )
    copy = tmp_path / "copy"
    copy.mkdir()
    store.save(copy / "run.json", ordinary(1))
    assert f"{copy} compared with {first}" in text_of(page_of("compare", [first, copy], 1, CHARTS))


@pytest.mark.parametrize(
    ("kind", "runs", "reference", "words"),
    [
        ("compare", [ordinary(1)], 1, "holds one run, and --page compare takes at least two"),
        ("compare", [ordinary(1), ordinary(2)], 3, "--reference 3: there are 2 runs; give a number from 1 to 2"),
        ("compare", [ordinary(1), ordinary(2)], 0, "--reference 0"),
        ("database", [ordinary(1), ordinary(2)], 1, "all 2 runs had sqlite; give runs of at least two databases"),
        (
            "database",
            [ordinary(1), ordinary(2, environment=elsewhere(environment(), target={"database": None}))],
            1,
            "light_run2: the run does not say which database",
        ),
        ("scalability", [ordinary(1), ordinary(2)], 1, "differ in neither"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, kind: str, runs: list[Run], reference: int, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        page(tmp_path, runs, kind, reference)


# --- databases and scalability ----------------------------------------------------------------------------------------


def test_databases_are_medians_and_ratios(tmp_path: Path) -> None:
    text = text_of(page(tmp_path, on_databases(3), "database"))
    assert "Not judged" in text
    assert "postgresql had 1.33 times the throughput of sqlite, and postgresql had 0.75 times" in text
    assert "≈ \N{MULTIPLICATION SIGN} 0.75" in text
    assert "sqlite: 3 runs, postgresql: 3 runs" in text


def test_a_case_that_only_some_runs_of_a_database_have_says_so(tmp_path: Path) -> None:
    runs = on_databases(2)
    text = text_of(page(tmp_path, [*runs[:3], spoilt(runs[3])], "database"))
    assert "valid in 1 of 2 runs" in text
    assert "Only in 1 of 2 runs; invalid: 298 of 300 requests failed: http 429." in text


def test_what_else_differs_is_part_of_every_curve(tmp_path: Path) -> None:
    runs = scaled([1, 5, 10, 20])
    around = elsewhere(runs[3].environment, target={"release": "1.0.6"})
    text = text_of(page(tmp_path, [*runs[:3], runs[3].model_copy(update={"environment": around})], "scalability"))
    assert "The runs also differ in other settings, which affects every curve: gateway release 1.0.7 → 1.0.6." in text
    assert "concurrency 1 →" not in text


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["compare", "scalability"])
def test_hostile_names_are_text_everywhere(tmp_path: Path, kind: str) -> None:
    runs = [
        run_of(
            *(
                figured("x/y", 10.0).model_copy(update={"id": name, "scenario": name, "name": name})
                for name in HOSTILE_NAMES
            ),
            number=number,
            environment=environment(concurrency=number),
        )
        for number in (1, 2, 3, 4)
    ]
    html = page(tmp_path, runs, kind)
    block = html.split('id="data">')[1].split("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", block)
    assert "<script>window" not in html
    assert "<img" not in html
    assert "<svg" not in html
    assert "{{ 7 * 7 }}" in html


def test_names_of_runs_are_text_too(tmp_path: Path) -> None:
    first, second = ordinary(1), ordinary(2).model_copy(update={"run_id": "<b>2</b>"})
    paths = [tmp_path / "1", tmp_path / "2"]
    for path, run in zip(paths, (first, second), strict=True):
        path.mkdir()
        store.save(path / "run.json", run)
    assert "<b>2</b>" not in page_of("compare", paths, 1, CHARTS)


# --- without charts, without a trend ----------------------------------------------------------------------------------


def test_without_charts_the_tables_are_there(tmp_path: Path) -> None:
    html = page_of("compare", written(tmp_path, three()), 1, ChartLibrary(off="Charts are off."))
    assert "<canvas" not in main_of(html)
    assert "Charts are off." in html
    assert "list_<wbr>limit_<wbr>50" in html


def test_a_trend_of_few_runs_says_so(tmp_path: Path) -> None:
    store_runs(tmp_path, 4)
    found = trend_of(read_history(tmp_path), "light", cases="*", metrics=("p50_latency",), last=200)
    text = text_of(page_of_trend(found, CHARTS))
    assert "Too few runs Too few runs for a trend: a case has at most 4 runs, 8 are needed." in text
    assert "steady" not in text


def test_a_trend_of_no_run_says_so() -> None:
    found = trend_of(read_history(Path("/nowhere")), "light", cases="*", metrics=("p50_latency",), last=200)
    assert "No trend No stored run of profile light can be part of a trend." in text_of(page_of_trend(found, CHARTS))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_series_can_be_told_from_the_page_in_both_schemes(scheme: int) -> None:
    parts = Path(__file__).parents[2] / "utils/benchkit/report/templates"
    css = (parts / "pages.css").read_text("utf-8")
    colours = re.findall(r"--s\d:\s*(#[0-9a-f]{6})", re.findall(r":root[^{]*\{([^}]*)\}", css)[scheme])
    base = re.findall(r"--page:\s*(#[0-9a-f]{6})", (parts / "report.css").read_text("utf-8"))[scheme]
    assert len(colours) == 5
    assert [one for one in colours if contrast(one, base) < 3] == []


# --- the programs -----------------------------------------------------------------------------------------------------


def generate(*arguments: object) -> Any:
    return program("report_generator.py", "--no-open", *arguments)


def test_several_runs_make_a_page_beside_the_first(tmp_path: Path) -> None:
    paths = written(tmp_path, [ordinary(1), ordinary(2)])
    done = generate(*paths)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'compare.html'}\n")
    assert (tmp_path / "compare.html").exists()


def test_a_directory_of_several_runs_gets_its_page_inside(tmp_path: Path) -> None:
    done = generate(paired(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'compare.html'}\n")


def test_pages_are_chosen_by_name_and_go_where_they_are_asked_to(tmp_path: Path) -> None:
    paths = written(tmp_path / "runs", scaled([1, 2, 4, 8]))
    done = generate("--page", "scalability", *paths, "--output", tmp_path / "here.html")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'here.html'}\n")
    assert "Scalability" in (tmp_path / "here.html").read_text("utf-8")
    paths = written(tmp_path / "databases", on_databases(1))
    assert generate("--page", "database", *paths).stdout == f"{tmp_path / 'databases' / 'database.html'}\n"


def test_the_reference_is_chosen_by_number(tmp_path: Path) -> None:
    paths = written(tmp_path, [ordinary(1), ordinary(2)])
    assert generate(*paths, "--reference", "2").returncode == 0
    assert "light_run1 compared with light_run2" in text_of((tmp_path / "compare.html").read_text("utf-8"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--page", "run"], "--page run: takes one run, and 2 are given"),
        (["--comparison", "x.json"], "--comparison: belongs to the report of one run"),
        (["--page", "database", "--reference", "1"], "--reference: belongs to --page compare"),
        (["--page", "scalability"], "differ in neither"),
    ],
)
def test_flags_that_do_not_fit_end_with_2_and_write_nothing(tmp_path: Path, flags: list[str], words: str) -> None:
    done = generate(*written(tmp_path, [ordinary(1), ordinary(2)]), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("*.html")) == []


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = generate(*written(tmp_path, [ordinary(1)]), tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "there is no such run" in done.stderr


def test_a_damaged_comparison_is_one_line(tmp_path: Path) -> None:
    paired(tmp_path)
    (tmp_path / "comparison.json").write_text("{")
    done = generate(tmp_path)
    assert done.returncode == 2
    assert "the comparison is damaged" in done.stderr


def test_the_trend_writes_its_page_where_the_runs_lie_or_where_it_is_asked_to(tmp_path: Path) -> None:
    store_runs(tmp_path, 9)
    done = program("trend.py", "--results-dir", tmp_path, "--html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{tmp_path / 'trend.html'}\n")
    program("trend.py", "--results-dir", tmp_path, "--html", tmp_path / "t.html")
    assert (tmp_path / "t.html").read_text("utf-8") == (tmp_path / "trend.html").read_text("utf-8")
    again = program("trend.py", "--results-dir", tmp_path)
    assert "trend.html" not in again.stdout
