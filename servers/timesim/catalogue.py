"""The tools, resources and prompts of the server, and the queries that answer them.

The functions take the queries and the current time as Unix seconds, and return plain data or text. They do not depend
on the MCP protocol's messages.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from string import Template
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from timesim.errors import BadRequestError, quoted
from timesim.seed import DOCUMENT_CHARACTERS, FIRST_YEAR, LAST_YEAR, OPEN_FUTURE
from timesim.store import Reader, ZoneRule

JSON = "application/json"
# The template's answer is also JSON, but a gateway (ContextForge 1.0) reads templates only if their type is text/*.
ZONE_TYPE = "text/plain"
PROMPT_ZONES_LIMIT = 50

ZONE_TEMPLATE = "time://zones/{area}/{city}"
_ZONE_PREFIX = ZONE_TEMPLATE.partition("{")[0]

FURTHER_TOOLS_LIMIT = 1000

ZoneName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}$",
        max_length=64,
        description="IANA time zone name, such as 'Europe/Berlin', 'America/New_York' or 'UTC'",
        examples=["Europe/Berlin"],
    ),
]


class Arguments(BaseModel):
    """Arguments of a tool or prompt. Unknown names are refused, so that a misspelt optional one is not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema that clients see."""
        # pydantic adds this class's name and docstring, which are not meant for clients.
        return {key: value for key, value in cls.model_json_schema().items() if key not in ("title", "description")}


class GetSystemTime(Arguments):
    """Arguments of ``get_system_time``."""

    timezone: ZoneName = "UTC"


class ConvertTime(Arguments):
    """Arguments of ``convert_time``."""

    time: Annotated[
        str,
        Field(
            pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
            description="time of day in the source time zone, 24-hour HH:MM, such as '16:30'",
            examples=["16:30"],
        ),
    ]
    source_timezone: ZoneName
    target_timezone: ZoneName


class CompareTimezones(Arguments):
    """Arguments of ``compare_timezones``."""

    timezones: Annotated[
        str, Field(description="IANA time zone names, separated by commas, such as 'Europe/Berlin,Asia/Tokyo'")
    ]
    reference_time: Annotated[
        str,
        Field(
            description="moment to compare at: ISO 8601, such as '2025-06-01T12:00:00+00:00' (without an offset: UTC); "
            "empty for now"
        ),
    ] = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: ``answer`` takes the queries, the validated arguments and the current time; it returns data for JSON."""

    name: str
    description: str
    arguments: type[Arguments]
    answer: Callable[[Reader, Any, int], object]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource: ``answer`` takes the queries and the current time, and returns the text."""

    uri: str
    name: str
    description: str
    mime_type: str
    answer: Callable[[Reader, int], str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: ``answer`` takes the queries, the validated arguments and the current time; it returns the message."""

    name: str
    description: str
    arguments: type[Arguments]
    answer: Callable[[Reader, Any, int], str]


def get_system_time(reader: Reader, arguments: GetSystemTime, now: int) -> object:
    """Return the current time of day in a zone.

    Raises:
        BadRequestError: the zone does not exist.
    """
    return _moment(_rule(reader, arguments.timezone, now), now)


def convert_time(reader: Reader, arguments: ConvertTime, now: int) -> object:
    """Convert a time of day in the source zone, on today's date there, to the target zone.

    A time that occurs twice today means its first occurrence. A skipped time is read with the offset from before the
    clock change.

    Raises:
        BadRequestError: a zone does not exist.
    """
    source, target = arguments.source_timezone, arguments.target_timezone
    hour, minute = map(int, arguments.time.split(":"))
    conversion = reader.conversion(source, target, hour * 3600 + minute * 60, now)
    if conversion is None:
        for zone in (source, target):
            _rule(reader, zone, now)
        raise AssertionError(f"{source} and {target} exist and cannot be converted")
    hours = (conversion.target.utc_offset - conversion.source.utc_offset) / 3600
    return {
        "source": _moment(conversion.source, conversion.instant),
        "target": _moment(conversion.target, conversion.instant),
        "time_difference": f"{hours:+.1f}h" if hours.is_integer() else f"{hours:+.2f}".rstrip("0") + "h",
    }


def timezone_info(reader: Reader, now: int) -> str:
    """Return all zones with their current offsets, as JSON."""
    zones = [
        {
            "timezone": rule.zone,
            "utc_offset": _offset(rule.utc_offset),
            "is_dst": rule.is_dst,
            "abbreviation": rule.abbreviation,
        }
        for rule in reader.rules(now)
    ]
    return _json({"datetime": _utc(now), "count": len(zones), "timezones": zones})


def world_times(reader: Reader, now: int) -> str:
    """Return the current time in each city, as JSON."""
    cities = [{"city": city.name, "country": city.country, **_moment(city.rule, now)} for city in reader.cities(now)]
    return _json({"datetime": _utc(now), "count": len(cities), "cities": cities})


def zone_details(reader: Reader, zone: str, now: int) -> str:
    """Return the current time in a zone, its next clock change and its cities, as JSON.

    Raises:
        BadRequestError: the zone does not exist.
    """
    rule = _rule(reader, zone, now)
    return _json(
        {
            **_moment(rule, now),
            "next_change": None if rule.until == OPEN_FUTURE else _utc(rule.until),
            "cities": reader.cities_of(zone),
        }
    )


def large_document(reader: Reader, _now: int) -> str:
    """Return the large document."""
    return reader.document()


def compare_timezones(reader: Reader, arguments: CompareTimezones, now: int) -> str:
    """Return the prompt's text: its template with the zones' times filled in.

    Raises:
        BadRequestError: a zone does not exist, there are none or too many, or the reference time is invalid.
    """
    names = list(dict.fromkeys(name.strip() for name in arguments.timezones.split(",")))
    if "" in names:
        raise BadRequestError(
            f"timezones: {quoted(arguments.timezones)} has an empty name; expected IANA time zone names separated by "
            "commas, such as 'Europe/Berlin,Asia/Tokyo'"
        )
    if len(names) > PROMPT_ZONES_LIMIT:
        raise BadRequestError(f"timezones: {len(names)} names are too many; at most {PROMPT_ZONES_LIMIT} are compared")
    instant = _reference(arguments.reference_time, now)
    rules = [_rule(reader, name, instant) for name in names]
    ordered = sorted(rules, key=lambda rule: (rule.utc_offset, rule.zone))
    lines = []
    for rule in rules:
        moment = _moment(rule, instant)
        season = "daylight saving time" if rule.is_dst else "standard time"
        line = f"- {rule.zone}: {moment['day_of_week']} {moment['datetime']} ({rule.abbreviation}, {season})"
        cities = reader.cities_of(rule.zone)
        lines.append(line + (f"; cities: {', '.join(cities)}" if cities else ""))
    hours = (ordered[-1].utc_offset - ordered[0].utc_offset) / 3600
    return Template(reader.prompt_template("compare_timezones")).substitute(
        count=len(names),
        reference_time=_utc(instant),
        zones="\n".join(lines),
        span=f"{hours:g} h",
        earliest=ordered[0].zone,
        latest=ordered[-1].zone,
    )


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("get_system_time", "Get the current time in a time zone", GetSystemTime, get_system_time),
        Tool("convert_time", "Convert a time of day between time zones", ConvertTime, convert_time),
    )
}

RESOURCES = {
    resource.uri: resource
    for resource in (
        Resource(
            "timezone://info", "timezone_info", "All time zones with their present UTC offsets", JSON, timezone_info
        ),
        Resource("time://current/world", "world_times", "The time now in cities of the world", JSON, world_times),
        Resource(
            "document://large",
            "large_document",
            f"A text of {DOCUMENT_CHARACTERS:,} characters",
            "text/plain",
            large_document,
        ),
    )
}

PROMPTS = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            "compare_timezones",
            "Compare the local times of several time zones and find common working hours",
            CompareTimezones,
            compare_timezones,
        ),
    )
}


def tool_answer(tool: Tool, arguments: Mapping[str, object]) -> Callable[[Reader, int], str]:
    """Validate the arguments of a tool call; return the function that computes its JSON.

    Raises:
        BadRequestError: an argument is missing, unknown or malformed.
    """
    validated = _validated(tool.arguments, arguments)
    return lambda reader, now: _json(tool.answer(reader, validated, now))


def prompt_answer(prompt: Prompt, arguments: Mapping[str, object]) -> Callable[[Reader, int], str]:
    """Validate the arguments of a prompt; return the function that computes the message's text.

    Raises:
        BadRequestError: an argument is missing, unknown or malformed.
    """
    validated = _validated(prompt.arguments, arguments)
    return lambda reader, now: prompt.answer(reader, validated, now)


def resource_answer(server: str, uri: str) -> tuple[str, Callable[[Reader, int], str]]:
    """Return the MIME type of a server's resource, and the function that computes its text.

    Raises:
        BadRequestError: there is no such resource. (Only the database knows whether a zone exists.)
    """
    asked, uri = uri, own_uri(server, uri)
    kind = resource_kind(uri)
    if kind == ZONE_TEMPLATE:
        # Zones with three parts are accepted both as the template's grammar requires, 'Argentina%2FBuenos_Aires', and
        # unescaped.
        zone = unquote(uri.removeprefix(_ZONE_PREFIX))
        return ZONE_TYPE, lambda reader, now: zone_details(reader, zone, now)
    if kind is None:
        offered = ", ".join(public_uri(server, known) for known in [*RESOURCES, ZONE_TEMPLATE])
        raise BadRequestError(f"unknown resource {quoted(asked)}; expected one of {offered}")
    resource = RESOURCES[kind]
    return resource.mime_type, resource.answer


def public_uri(server: str, uri: str) -> str:
    """Return a URI or template as a server with that name lists it.

    ``time://current/world`` of ``time1`` is ``time://time1/current/world``. A gateway that lists the same URI of two
    servers cannot tell them apart, and refuses to read it.
    """
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{server}/{rest}"


def own_uri(server: str, uri: str) -> str:
    """Return the catalogue's URI for a URI of a server with that name; the inverse of `public_uri`.

    A URI without the server's name is returned with a leading ``?``, which matches no resource.
    """
    scheme, separator, rest = uri.partition("://")
    if not rest.startswith(f"{server}/"):
        return f"?{uri}"
    return f"{scheme}{separator}{rest.removeprefix(f'{server}/')}"


def further_tools(count: int) -> list[Tool]:
    """Return additional tools, so that a listing is as long as that of a gateway with many servers.

    They do the same as ``get_system_time`` and have its arguments, so each entry has a schema of normal size.
    """
    return [
        Tool(f"get_time_{number:03d}", "Get the current time in a time zone", GetSystemTime, get_system_time)
        for number in range(1, count + 1)
    ]


def resource_kind(uri: str) -> str | None:
    """Return the URI of the resource or template that a URI matches; None if there is none."""
    if uri in RESOURCES:
        return uri
    area, separator, city = uri.removeprefix(_ZONE_PREFIX).partition("/")
    return ZONE_TEMPLATE if uri.startswith(_ZONE_PREFIX) and area and separator and city else None


def _validated(model: type[Arguments], arguments: Mapping[str, object]) -> Arguments:
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
    fields = model.model_fields
    messages = []
    for problem in problems:
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            messages.append(f"unknown argument {quoted(name)}; expected {', '.join(fields)}")
        elif problem["type"] == "missing":
            messages.append(f"missing argument {name}; expected {fields[name].description}")
        else:
            messages.append(f"{name}: {quoted(problem['input'])} is wrong; expected {fields[name].description}")
    # A client may send thousands of unknown arguments; three are enough.
    raise BadRequestError("; ".join(messages[:3]))


def _rule(reader: Reader, zone: str, instant: int) -> ZoneRule:
    # PostgreSQL rejects text with NUL or incomplete characters, which occur in no name.
    text = zone.isascii() and zone.isprintable()
    rule = reader.rule(zone, instant) if text else None
    if rule is None:
        similar = reader.zones_named_like(zone[:64]) if text else []
        hint = f"did you mean {' or '.join(similar)}?" if similar else "the resource timezone_info lists all names"
        raise BadRequestError(
            f"unknown time zone {quoted(zone)}; expected an IANA name such as 'Europe/Berlin'; {hint}"
        )
    return rule


def _reference(text: str, now: int) -> int:
    if not text.strip():
        return now
    problem = f"reference_time: {quoted(text)} is not an ISO 8601 date and time, such as '2025-06-01T12:00:00+00:00'"
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        year = moment.astimezone(UTC).year
    except (ValueError, OverflowError):
        raise BadRequestError(problem) from None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadRequestError(f"reference_time: {quoted(text)} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return int(moment.timestamp())


def _moment(rule: ZoneRule, instant: int) -> dict[str, object]:
    local = datetime.fromtimestamp(instant, timezone(timedelta(seconds=rule.utc_offset)))
    return {
        "timezone": rule.zone,
        "datetime": local.isoformat(timespec="seconds"),
        "day_of_week": f"{local:%A}",
        "is_dst": rule.is_dst,
        "utc_offset": _offset(rule.utc_offset),
        "abbreviation": rule.abbreviation,
    }


def _offset(seconds: int) -> str:
    sign, minutes = ("-" if seconds < 0 else "+"), abs(seconds) // 60
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _utc(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
