"""The content of the database: clock rules of every time zone, world cities, a large document, a prompt template.

Everything is computed from the ``tzdata`` package and a seed, so two servers with the same releases have the same rows,
and a large resource has the same size everywhere. The time zones of the operating system are not used: they differ
between machines, and some machines have none.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from io import BytesIO
from itertools import pairwise
from zoneinfo import ZoneInfo

# Rules are stored for these years. The first and the last rule of a zone are open-ended, so that a clock that is wrong
# by decades still gets an answer.
FIRST_YEAR, LAST_YEAR = 2020, 2039
OPEN_PAST, OPEN_FUTURE = -(2**53), 2**53

DOCUMENT_CHARACTERS = 1_000_000
DOCUMENT_PART_CHARACTERS = 10_000

# Changes listed in a zone's file may be days apart. Later ones follow a yearly rule and are months apart.
_STEP_SECONDS = 28 * 86_400

PROMPT_TEMPLATE = """\
Compare these ${count} time zones at ${reference_time}:

${zones}

The local times span ${span}, from ${earliest} to ${latest}. Say which of these places share a working day \
(09:00 to 17:00 local time), and propose a time for a meeting, given in each of the time zones."""

CITIES = (
    # city, country, time zone
    ("Accra", "Ghana", "Africa/Accra"),
    ("Addis Ababa", "Ethiopia", "Africa/Addis_Ababa"),
    ("Algiers", "Algeria", "Africa/Algiers"),
    ("Amsterdam", "Netherlands", "Europe/Amsterdam"),
    ("Anchorage", "United States", "America/Anchorage"),
    ("Athens", "Greece", "Europe/Athens"),
    ("Auckland", "New Zealand", "Pacific/Auckland"),
    ("Baghdad", "Iraq", "Asia/Baghdad"),
    ("Bangkok", "Thailand", "Asia/Bangkok"),
    ("Beijing", "China", "Asia/Shanghai"),
    ("Berlin", "Germany", "Europe/Berlin"),
    ("Bogotá", "Colombia", "America/Bogota"),
    ("Buenos Aires", "Argentina", "America/Argentina/Buenos_Aires"),
    ("Cairo", "Egypt", "Africa/Cairo"),
    ("Caracas", "Venezuela", "America/Caracas"),
    ("Casablanca", "Morocco", "Africa/Casablanca"),
    ("Chicago", "United States", "America/Chicago"),
    ("Copenhagen", "Denmark", "Europe/Copenhagen"),
    ("Delhi", "India", "Asia/Kolkata"),
    ("Denver", "United States", "America/Denver"),
    ("Dhaka", "Bangladesh", "Asia/Dhaka"),
    ("Dubai", "United Arab Emirates", "Asia/Dubai"),
    ("Dublin", "Ireland", "Europe/Dublin"),
    ("Helsinki", "Finland", "Europe/Helsinki"),
    ("Hong Kong", "China", "Asia/Hong_Kong"),
    ("Honolulu", "United States", "Pacific/Honolulu"),
    ("Istanbul", "Turkey", "Europe/Istanbul"),
    ("Jakarta", "Indonesia", "Asia/Jakarta"),
    ("Johannesburg", "South Africa", "Africa/Johannesburg"),
    ("Karachi", "Pakistan", "Asia/Karachi"),
    ("Kathmandu", "Nepal", "Asia/Kathmandu"),
    ("Kyiv", "Ukraine", "Europe/Kyiv"),
    ("Lagos", "Nigeria", "Africa/Lagos"),
    ("Lima", "Peru", "America/Lima"),
    ("Lisbon", "Portugal", "Europe/Lisbon"),
    ("London", "United Kingdom", "Europe/London"),
    ("Los Angeles", "United States", "America/Los_Angeles"),
    ("Madrid", "Spain", "Europe/Madrid"),
    ("Manila", "Philippines", "Asia/Manila"),
    ("Mexico City", "Mexico", "America/Mexico_City"),
    ("Mumbai", "India", "Asia/Kolkata"),
    ("Nairobi", "Kenya", "Africa/Nairobi"),
    ("New York", "United States", "America/New_York"),
    ("Paris", "France", "Europe/Paris"),
    ("Reykjavík", "Iceland", "Atlantic/Reykjavik"),
    ("Riyadh", "Saudi Arabia", "Asia/Riyadh"),
    ("Rome", "Italy", "Europe/Rome"),
    ("Santiago", "Chile", "America/Santiago"),
    ("São Paulo", "Brazil", "America/Sao_Paulo"),
    ("Seoul", "South Korea", "Asia/Seoul"),
    ("Shanghai", "China", "Asia/Shanghai"),
    ("Singapore", "Singapore", "Asia/Singapore"),
    ("St. John's", "Canada", "America/St_Johns"),
    ("Stockholm", "Sweden", "Europe/Stockholm"),
    ("Sydney", "Australia", "Australia/Sydney"),
    ("Tehran", "Iran", "Asia/Tehran"),
    ("Tokyo", "Japan", "Asia/Tokyo"),
    ("Toronto", "Canada", "America/Toronto"),
    ("Vienna", "Austria", "Europe/Vienna"),
    ("Warsaw", "Poland", "Europe/Warsaw"),
)

# fmt: off
_WORDS = (
    "clock", "zone", "meridian", "offset", "second", "minute", "hour", "day", "season", "solar", "noon", "dawn",
    "dusk", "midnight", "calendar", "leap", "drift", "epoch", "pendulum", "quartz", "signal", "standard", "summer",
    "winter", "local", "universal", "coordinated", "atomic", "railway", "harbour", "observatory", "longitude",
    "almanac", "transit", "equinox", "solstice", "chronometer", "schedule", "tide", "border", "island", "decree",
    "statute",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class ClockRule:
    """A period in which the clocks of a zone have one offset from UTC.

    Attributes:
        utc_from: start of the rule as Unix time (seconds), inclusive.
        utc_until: next change as Unix time (seconds), exclusive.
        local_from: start of the rule in wall-clock time, as seconds since 1970-01-01T00:00 on that clock.
        local_until: ``local_from`` of the next rule, exclusive.
        utc_offset: seconds east of UTC.
        is_dst: whether this is daylight saving time.
        abbreviation: such as ``CEST``; zones without a common name have their offset here.
    """

    utc_from: int
    utc_until: int
    local_from: int
    local_until: int
    utc_offset: int
    is_dst: bool
    abbreviation: str


def fingerprint(seed: int) -> str:
    """Return everything that determines the rows, as one line: equal fingerprints mean equal rows."""
    return f"layout=1 seed={seed} tzdata={metadata.version('tzdata')} years={FIRST_YEAR}-{LAST_YEAR}"


def clock_rules() -> Iterator[tuple[str, list[ClockRule]]]:
    """Yield each IANA time zone with its rules in order; they cover all times without gap or overlap."""
    package = resources.files("tzdata")
    computed: dict[bytes, list[ClockRule]] = {}
    for name in sorted(package.joinpath("zones").read_text(encoding="ascii").split()):
        if name == "Factory":  # means "not set up yet" and is no real place
            continue
        content = package.joinpath("zoneinfo", *name.split("/")).read_bytes()
        # Nearly half of the names are links, which the package stores as copies: computing each content only once
        # halves the time of the first start.
        if content not in computed:
            computed[content] = _rules_of(ZoneInfo.from_file(BytesIO(content), key=name), _listed_changes(content))
        yield name, computed[content]


def _listed_changes(content: bytes) -> list[int]:
    """Return the Unix times of the changes in a TZif file (RFC 8536, section 3: header and data twice)."""
    header = struct.Struct(">4sc15x6L")
    _, _, *first = header.unpack_from(content)
    utc_flags, standard_flags, leap_seconds, times, types, characters = first
    skipped = times * 5 + types * 6 + characters + leap_seconds * 8 + standard_flags + utc_flags
    *_, times, _, _ = header.unpack_from(content, header.size + skipped)
    return list(struct.unpack_from(f">{times}q", content, 2 * header.size + skipped))


def _rules_of(zone: ZoneInfo, listed: list[int]) -> list[ClockRule]:
    def state(instant: int) -> tuple[int, bool, str]:
        local = datetime.fromtimestamp(instant, zone)
        offset = local.utcoffset() or timedelta()
        return int(offset.total_seconds()), bool(local.dst()), local.tzname() or ""

    # zoneinfo does not provide the changes of a zone's yearly rule, so they are found by stepping and bisection.
    begin = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
    moments = sorted({*range(begin, end, _STEP_SECONDS), *(time for time in listed if begin < time < end), end})
    current = state(begin)
    changes = [(OPEN_PAST, current)]
    for before, after in pairwise(moments):
        if (reached := state(after)) == current:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if state(middle) == current else (before, middle)
        changes.append((after, reached))
        current = reached

    # A wall-clock time that occurs twice means its first occurrence, and a skipped one is read with the offset from
    # before the gap (PEP 495, fold=0). Both hold if a rule starts, on the wall clock, at its start plus the larger of
    # the two offsets.
    starts = [start for start, _ in changes[1:]]
    local_starts = [start + max(old[0], new[0]) for (_, old), (start, new) in pairwise(changes)]
    spans = zip(
        [OPEN_PAST, *starts],
        [*starts, OPEN_FUTURE],
        [OPEN_PAST, *local_starts],
        [*local_starts, OPEN_FUTURE],
        strict=True,
    )
    return [ClockRule(*span, *values) for span, (_, values) in zip(spans, changes, strict=True)]


def document_parts(seed: int) -> list[str]:
    """Return the large document in parts of ``DOCUMENT_PART_CHARACTERS`` ASCII characters each."""
    generator = random.Random(seed)  # noqa: S311  # not for secrets: it must be reproducible
    lines: list[str] = []
    length = 0
    while length < DOCUMENT_CHARACTERS:
        lines.append(f"{len(lines) + 1:06d} {' '.join(generator.choices(_WORDS, k=10))}.\n")
        length += len(lines[-1])
    text = "".join(lines)[: DOCUMENT_CHARACTERS - 1] + "\n"
    return [text[start : start + DOCUMENT_PART_CHARACTERS] for start in range(0, len(text), DOCUMENT_PART_CHARACTERS)]
