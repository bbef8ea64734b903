"""hey's output: rows and text summary."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import UserError
from benchkit.load.engines import hey_output
from benchkit.load.rows import Rows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "hey"
HEADER = hey_output.HEADER.decode()
LINE = re.compile(r"(?:[0-9]{1,9}\.[0-9]{4},){6}[0-9]{1,3},[0-9]{1,9}\.[0-9]{4}")


def rows(tmp_path: Path, text: str | bytes) -> Rows:
    path = tmp_path / "rows of one.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return hey_output.read_rows(path)


def summary(name: str) -> hey_output.Summary:
    output = hey_output.read(FIXTURES / name)
    assert isinstance(output, hey_output.Summary)
    return output


# Rows


def test_rows_of_real_output() -> None:
    output = hey_output.read(FIXTURES / "rows.csv")
    assert isinstance(output, Rows)
    lines = (FIXTURES / "rows.csv").read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    assert len(output) == len(lines) == 100
    assert output.latency_ms.tolist() == [round(float(line[0]) * 1000, 1) for line in cells]
    assert output.status.tolist() == [200] * 100
    assert output.offset_s.tolist() == [float(line[7]) for line in cells]


def test_statuses_are_counted_and_transport_errors_leave_no_row() -> None:
    assert hey_output.read_rows(FIXTURES / "rows_limit.csv").statuses() == {200: 100, 429: 200}
    assert hey_output.read_rows(FIXTURES / "rows_drop.csv").statuses() == {200: 180}
    assert len(hey_output.read_rows(FIXTURES / "rows_refused.csv")) == 0


@pytest.mark.parametrize("text", ["", HEADER])
def test_no_rows_is_no_error(tmp_path: Path, text: str) -> None:
    output = rows(tmp_path, text)
    assert (len(output), output.statuses()) == (0, {})


def test_the_last_newline_may_be_missing_but_not_a_digit(tmp_path: Path) -> None:
    text = (FIXTURES / "rows.csv").read_text().rstrip("\n")
    assert len(rows(tmp_path, text)) == 100
    with pytest.raises(UserError, match=r"rows of one\.csv: line 101: not a row"):
        rows(tmp_path, text[:-1])


ROW = "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n"


@pytest.mark.parametrize(
    "bad",
    [
        "\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,200\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000,1.0000\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,2e0,1.5000\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,2000,1.5000\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,,1.5000\n",
        ".0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "0.012,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "0.01230,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "NaN,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "0.0123;0.0000;0.0000;0.0000;0.0123;0.0000;200;1.5000\n",
        "0/0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "0.0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\r\n",
        "1234567890.0123,0.0000,0.0000,0.0000,0.0123,0.0000,200,1.5000\n",
        "\x00" * 200_000,
    ],
)
def test_a_damaged_row_is_named_with_its_line(tmp_path: Path, bad: str) -> None:
    with pytest.raises(UserError, match=r"rows of one\.csv: line 5002: not a row of hey's") as raised:
        rows(tmp_path, HEADER + 5000 * ROW + bad + 5000 * ROW)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "negative",
    [
        "-1722.3405,0.0000,0.0000,0.0000,-1722.3406,0.0001,200,0.0325\n",
        "0.0147,0.0000,0.0000,0.0000,0.0146,0.0001,200,-1722.3233\n",
        "0.0147,-0.0001,0.0000,0.0000,0.0146,0.0001,200,0.3233\n",
    ],
)
def test_a_time_below_zero_is_a_clock_that_was_set(tmp_path: Path, negative: str) -> None:
    with pytest.raises(UserError, match=r"line 3: a time below zero .*: the clock was set while hey ran") as raised:
        rows(tmp_path, HEADER + ROW + negative + ROW)
    assert "disk" not in str(raised.value)


def test_a_minus_elsewhere_is_damage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: not a row of hey's"):
        rows(tmp_path, HEADER + ROW.replace(",200,", ",-200,"))


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        lambda text: b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: b"\n" + text.encode(),
        lambda text: b"\r\n\r\n" + text.replace("\n", "\r\n").encode(),
    ],
    ids=["CRLF", "mark", "mark and CRLF", "UTF-16 little", "UTF-16 big", "a blank line", "blank lines with CRLF"],
)
@pytest.mark.parametrize("fixture", ["rows.csv", "summary.txt"])
def test_what_another_shell_does_to_a_text_is_undone(
    tmp_path: Path, written: Callable[[str], bytes], fixture: str
) -> None:
    path = tmp_path / fixture
    path.write_bytes(written((FIXTURES / fixture).read_text()))
    output, wanted = hey_output.read(path), hey_output.read(FIXTURES / fixture)
    if isinstance(output, Rows):
        assert isinstance(wanted, Rows)
        assert output.latency_ms.tolist() == wanted.latency_ms.tolist()
        assert output.offset_s.tolist() == wanted.offset_s.tolist()
    else:
        assert output == wanted


@pytest.mark.parametrize("before", ["", "\n", "\ufeff\n"])
def test_rows_of_an_old_hey_are_named_with_the_version_to_install(tmp_path: Path, before: str) -> None:
    old = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read\n"
    with pytest.raises(UserError, match=r"line 1: rows of an old hey, .*: hey 0\.1\.4 or newer is needed"):
        rows(tmp_path, before + old + "0.0143,0.0002,0.0000,0.0000,0.0139,0.0001\n")


def test_another_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: neither"):
        rows(tmp_path, HEADER.replace("DNS,", "") + ROW)


def test_as_many_rows_as_hey_can_keep_are_refused(tmp_path: Path) -> None:
    assert len(rows(tmp_path, HEADER + 999_999 * ROW)) == 999_999
    with pytest.raises(UserError, match=r"line 1000001: hey keeps at most 1,000,000"):
        rows(tmp_path, HEADER + 1_000_000 * ROW)


def test_a_summary_where_rows_are_needed() -> None:
    with pytest.raises(UserError, match="run hey with -o csv"):
        hey_output.read_rows(FIXTURES / "summary.txt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        hey_output.read_rows(tmp_path / "none.csv")


TIMES = st.integers(min_value=0, max_value=10**13 - 1)


@given(st.lists(st.tuples(TIMES, st.integers(min_value=0, max_value=999), TIMES), max_size=300), st.integers(1, 30))
def test_every_value_that_hey_can_print_is_read_exactly(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, int, int]], repeat: int
) -> None:
    wanted = wanted * repeat
    text = HEADER + "".join(
        f"{taken // 10000}.{taken % 10000:04d},0.0001,0.0000,0.0000,12.0000,0.0000,{status},"
        f"{offset // 10000}.{offset % 10000:04d}\n"
        for taken, status, offset in wanted
    )
    output = rows(tmp_path_factory.mktemp("rows"), text)
    assert output.latency_ms.tolist() == [taken / 10 for taken, _, _ in wanted]
    assert output.status.tolist() == [status for _, status, _ in wanted]
    assert output.offset_s.tolist() == [offset / 10000 for _, _, offset in wanted]


@given(st.integers(0, 10 * len(ROW) - 1), st.sampled_from([*b"09.,-/:\n e\x00\xff"]), st.booleans())
def test_one_wrong_byte_is_found_exactly_where_a_pattern_finds_it(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, insert: bool
) -> None:
    data = bytearray((10 * ROW).encode())
    data[at : at if insert else at + 1] = bytes([byte])
    lines = bytes(data).decode("latin-1").removesuffix("\n").split("\n")
    wrong = [number for number, line in enumerate(lines, start=2) if not LINE.fullmatch(line)]
    if wrong:
        with pytest.raises(UserError, match=f": line {wrong[0]}: "):
            rows(tmp_path_factory.mktemp("rows"), HEADER.encode() + bytes(data))
    else:
        assert len(rows(tmp_path_factory.mktemp("rows"), HEADER.encode() + bytes(data))) == len(lines)


# Summary


@pytest.mark.parametrize(
    ("positive", "negative", "named"),
    [
        ("Total:\t", "Total:\t-17", "Total: -17"),
        ("Fastest:\t", "Fastest:\t-17", "Fastest: -17"),
        ("Requests/sec:\t", "Requests/sec:\t-", "Requests/sec: -"),
        ("  99% in ", "  99% in -", "99% in -"),
    ],
)
def test_a_summary_with_a_time_below_zero(tmp_path: Path, positive: str, negative: str, named: str) -> None:
    text = (FIXTURES / "summary.txt").read_text()
    assert positive in text
    path = tmp_path / "summary.txt"
    path.write_text(text.replace(positive, negative))
    with pytest.raises(
        UserError, match=r"line [0-9]+: a time below zero .*: the clock was set while hey ran"
    ) as raised:
        hey_output.read(path)
    assert named in str(raised.value)


def test_summary_of_real_output() -> None:
    text = (FIXTURES / "summary.txt").read_text()
    output = summary("summary.txt")
    assert list(output.percentiles) == [10, 25, 50, 75, 90, 95, 99]
    for percent, value in output.percentiles.items():
        assert f"  {percent}% in {value:.4f} secs\n" in text
    assert f"Requests/sec:\t{output.hey_requests_per_sec:.4f}\n" in text
    assert f"Total:\t{output.total_s:.4f} secs" in text
    assert f"Average:\t{output.average_s:.4f} secs" in text
    assert output.statuses == {200: 1000}
    assert not output.errors


def test_the_false_p99_of_few_samples_is_absent() -> None:
    assert "  0% in 0.0000 secs" in (FIXTURES / "summary_50.txt").read_text()
    assert list(summary("summary_50.txt").percentiles) == [10, 25, 50, 75, 90, 95]


def test_statuses_and_errors_of_a_summary() -> None:
    assert summary("summary_limit.txt").statuses == {200: 100, 429: 200}
    dropped = summary("summary_drop.txt")
    assert dropped.statuses == {200: 180}
    assert dropped.errors == {'Post "http://127.0.0.1:9701/drop": EOF': 20}


def test_without_any_answer_no_time_is_known() -> None:
    output = summary("summary_refused.txt")
    assert (output.average_s, output.fastest_s, output.slowest_s) == (None, None, None)
    assert (output.percentiles, output.statuses) == ({}, {})
    assert list(output.errors.values()) == [6]
    assert output.hey_requests_per_sec > 1000  # of requests that all failed: never a throughput


@pytest.mark.parametrize("name", ["summary.txt", "summary_refused.txt"])
def test_a_summary_that_was_cut_short_is_refused(name: str) -> None:
    text = (FIXTURES / name).read_text()
    for end in range(0, text.index("Status code distribution") + 20, 7):
        with pytest.raises(UserError, match=r"^here: line \d+: "):
            hey_output.parse_summary(text[:end], "here")


@given(st.text())
def test_any_text_is_a_summary_or_a_clear_refusal(text: str) -> None:
    with pytest.raises(UserError):
        hey_output.parse_summary(text, "here")
