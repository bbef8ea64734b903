"""All queries, and reading from SQLite."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, FromClause, Select, bindparam, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from timesim.errors import DatabaseError
from timesim.tables import CITIES, DOCUMENT, ORIGIN, PROMPTS, RULES, ZONES

Answer = TypeVar("Answer")

QUERY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """The clock rule of a zone at some time: offset in seconds east of UTC, ``until`` as Unix time."""

    zone: str
    utc_offset: int
    is_dst: bool
    abbreviation: str
    until: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """A time (Unix seconds) and the rules of two zones at that time."""

    instant: int
    source: ZoneRule
    target: ZoneRule


@dataclass(frozen=True, slots=True)
class City:
    """A city and the clock rule of its zone at some time."""

    name: str
    country: str
    rule: ZoneRule


def _rule_columns(rules: FromClause, zones: FromClause) -> list[ColumnElement[Any]]:
    return [zones.c.name, rules.c.utc_offset, rules.c.is_dst, rules.c.abbreviation, rules.c.utc_until]


def _in_force(rules: FromClause, instant: ColumnElement[Any]) -> ColumnElement[bool]:
    return (rules.c.utc_from <= instant) & (rules.c.utc_until > instant)


def _conversion() -> Select[Any]:
    """Return the statement that converts a time of day on today's date in a single round trip."""
    source_zone, target_zone = ZONES.alias("source_zone"), ZONES.alias("target_zone")
    present, clock = RULES.alias("present"), RULES.alias("clock")
    source, target = RULES.alias("source"), RULES.alias("target")
    midnight = (_INSTANT + present.c.utc_offset) // 86_400 * 86_400
    wall_clock = midnight + bindparam("time_of_day", type_=BigInteger)
    instant = wall_clock - clock.c.utc_offset
    return (
        select(instant, *_rule_columns(source, source_zone), *_rule_columns(target, target_zone))
        .select_from(source_zone)
        .join(present, (present.c.zone_id == source_zone.c.id) & _in_force(present, _INSTANT))
        .join(
            clock,
            (clock.c.zone_id == source_zone.c.id)
            & (clock.c.local_from <= wall_clock)
            & (clock.c.local_until > wall_clock),
        )
        # Not simply "clock": a skipped time of day is shown with the rule that applies by then.
        .join(source, (source.c.zone_id == source_zone.c.id) & _in_force(source, instant))
        .join(target_zone, target_zone.c.name == bindparam("target"))
        .join(target, (target.c.zone_id == target_zone.c.id) & _in_force(target, instant))
        .where(source_zone.c.name == bindparam("source"))
    )


# Statements are built only once, because building one takes as long as running it on SQLite.
_INSTANT = bindparam("instant", type_=BigInteger)
_NAMED_ZONE = ZONES.c.name == bindparam("zone")
_RULES_AT = (
    select(*_rule_columns(RULES, ZONES))
    .join_from(RULES, ZONES)
    .where(_in_force(RULES, _INSTANT))
    .order_by(ZONES.c.name)
)
_RULE_AT = select(*_rule_columns(RULES, ZONES)).join_from(RULES, ZONES).where(_NAMED_ZONE, _in_force(RULES, _INSTANT))
_CONVERSION = _conversion()
_CITIES_AT = (
    select(CITIES.c.name, CITIES.c.country, *_rule_columns(RULES, ZONES))
    .join_from(CITIES, ZONES)
    .join(RULES, RULES.c.zone_id == ZONES.c.id)
    .where(_in_force(RULES, _INSTANT))
    .order_by(CITIES.c.name)
)
_CITIES_OF_ZONE = select(CITIES.c.name).join_from(CITIES, ZONES).where(_NAMED_ZONE).order_by(CITIES.c.name)
_DOCUMENT_PARTS = select(DOCUMENT.c.body).order_by(DOCUMENT.c.part)
_PROMPT_TEMPLATE = select(PROMPTS.c.template).where(PROMPTS.c.name == bindparam("name"))


class Reader:
    """The queries, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rule(self, zone: str, instant: int) -> ZoneRule | None:
        """Return the rule in force in a zone at a Unix time (seconds); None if there is no such zone."""
        row = self._connection.execute(_RULE_AT, {"zone": zone, "instant": instant}).one_or_none()
        return None if row is None else ZoneRule(*row)

    def conversion(self, source: str, target: str, time_of_day: int, instant: int) -> Conversion | None:
        """Convert a time of day (seconds since midnight) between two zones, on today's date in the source.

        A time that occurs twice on that date means its first occurrence; a skipped one is read with the offset from
        before the gap. None if one of the zones does not exist.
        """
        values = {"source": source, "target": target, "time_of_day": time_of_day, "instant": instant}
        row = self._connection.execute(_CONVERSION, values).one_or_none()
        return None if row is None else Conversion(row[0], ZoneRule(*row[1:6]), ZoneRule(*row[6:]))

    def rules(self, instant: int) -> list[ZoneRule]:
        """Return the rules in force in all zones at a Unix time (seconds), by name."""
        return [ZoneRule(*row) for row in self._connection.execute(_RULES_AT, {"instant": instant})]

    def zones_named_like(self, text: str, limit: int = 3) -> list[str]:
        """Return zones whose name, or its last part, equals ``text`` except for case and spaces."""
        wanted = text.strip().replace(" ", "_").lower()
        name = func.lower(ZONES.c.name)
        condition = (name == wanted) | name.endswith("/" + wanted, autoescape=True)
        return list(self._connection.scalars(select(ZONES.c.name).where(condition).order_by(name).limit(limit)))

    def cities(self, instant: int) -> list[City]:
        """Return all cities by name, with the rules in force at a Unix time (seconds)."""
        rows = self._connection.execute(_CITIES_AT, {"instant": instant})
        return [City(name, country, ZoneRule(*rule)) for name, country, *rule in rows]

    def cities_of(self, zone: str) -> list[str]:
        """Return the names of a zone's cities, in alphabetical order."""
        return list(self._connection.scalars(_CITIES_OF_ZONE, {"zone": zone}))

    def document(self) -> str:
        """Return the large document."""
        return "".join(self._connection.scalars(_DOCUMENT_PARTS))

    def prompt_template(self, name: str) -> str:
        """Return the template of an existing prompt."""
        return str(self._connection.execute(_PROMPT_TEMPLATE, {"name": name}).scalar_one())

    def database_version(self) -> str:
        """Return the release of the database, such as ``16.4`` or ``3.45.1``, if its content can be read."""
        sqlite = self._connection.dialect.name == "sqlite"
        release = func.sqlite_version() if sqlite else func.current_setting("server_version")
        # Distributions append their own name: "16.4 (Debian 16.4-1)".
        return str(self._connection.execute(select(release, ORIGIN)).one()[0]).split()[0]


class Store(ABC):
    """A database with this server's content."""

    backend: ClassVar[Literal["sqlite", "postgresql"]]

    async def read(self, work: Callable[[Reader], Answer], timeout: float = QUERY_TIMEOUT_SECONDS) -> Answer:
        """Call ``work`` with a connection and return its result.

        Args:
            work: must only read, because it is repeated if the connection was lost.
            timeout: timeout in seconds.

        Raises:
            DatabaseError: the database refused, failed, or did not answer in time.
        """
        try:
            return await self.answer(work, timeout)
        except TimeoutError:
            raise DatabaseError(f"the database did not answer within {timeout:g} s") from None
        except SQLAlchemyError as error:
            raise DatabaseError(f"the database failed: {reason(error)}") from error

    @abstractmethod
    async def answer(self, work: Callable[[Reader], Answer], timeout: float) -> Answer:
        """Call ``work``; raise TimeoutError or SQLAlchemy's error."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


class SqliteStore(Store):
    """A store in an SQLite file, which is read on the event loop.

    SQLite is a library, not a server: a query takes 0.05 to 0.1 ms of this process's own CPU time, with nothing to wait
    for. Handing it to a thread takes longer than the query, because two threads then compete for the interpreter.
    With one or four threads, the server handled about a sixth fewer requests per second; with aiosqlite, which also
    uses a thread, half as many. Only a server that starts with another seed writes to the file.
    """

    backend = "sqlite"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(self, work: Callable[[Reader], Answer], timeout: float) -> Answer:
        """Call ``work``; raise SQLAlchemy's error."""
        del timeout  # the only wait is for the file lock, which has its own timeout
        with self._engine.connect() as connection:
            return work(Reader(connection))

    async def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def reason(error: Exception) -> str:
    """Return the first line of the driver's error, without SQLAlchemy's statement and link."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
