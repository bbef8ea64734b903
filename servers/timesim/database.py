"""Connect to a database and fill it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, create_engine, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from timesim import seed as content
from timesim.errors import UserError
from timesim.store import SqliteStore, Store, reason
from timesim.tables import CITIES, DOCUMENT, METADATA, ORIGIN, PROMPTS, RULES, ZONES

LOG = logging.getLogger("timesim")

# Few, so that dozens of servers can share one PostgreSQL, which accepts 100 by default. More would not make this
# process faster, because it runs on one core and so keeps only a few connections busy.
CONNECTIONS = 4

CONNECT_TIMEOUT_SECONDS = 5
# Statement timeout; in SQLite it limits only the wait for another process's lock. While filling, another server may be
# filling the same database. While reading, SQLite's wait would block all other requests.
FILLING_SECONDS = 60
READING_SECONDS = {"sqlite": 1, "postgresql": 10}

URL_FORMS = "sqlite:////absolute/path.db or postgresql+psycopg://user@host/database"


def open_store(url: str, seed: int) -> Store:
    """Connect to a database and make sure that it has the content of ``seed``.

    Tables with exactly that content are kept; other tables of this server are replaced.

    Raises:
        UserError: the URL is wrong, the database does not answer, or it cannot be written.
    """
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    try:
        engine = create_engine(parsed, **_engine_settings(parsed, FILLING_SECONDS))
        with engine.connect() as connection:
            _fill(connection, seed)
        engine.dispose()
    except SQLAlchemyError as error:
        shown = parsed.render_as_string(hide_password=True)
        raise UserError(f"cannot use the database {shown}: {reason(error)}") from error
    settings = _engine_settings(parsed, READING_SECONDS[backend])
    if backend == "sqlite":
        return SqliteStore(create_engine(parsed, **settings))
    # Imported here, because SQLAlchemy's asynchronous part imports its whole object-relational mapper, which would take
    # a third of the start-up time.
    from timesim.postgresql import postgresql_store  # pylint: disable=import-outside-toplevel

    return postgresql_store(parsed, settings)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The URL is not repeated, because a password cannot be masked in a URL that cannot be parsed.
        raise UserError(f"--database is not a database URL; expected {URL_FORMS}") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise UserError(
                "--database: SQLite needs a file, for memory is not shared between connections: " + URL_FORMS
            )
    elif parsed.drivername != "postgresql+psycopg":
        raise UserError(f"--database: {parsed.drivername!r} is not supported; expected {URL_FORMS}")
    return parsed


def _engine_settings(url: URL, statement_seconds: int) -> dict[str, Any]:
    connect: dict[str, object] = {"timeout": statement_seconds}
    if url.get_backend_name() == "postgresql":
        connect = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        if "options" not in url.query:
            connect["options"] = f"-c statement_timeout={statement_seconds * 1000}"
    return {
        # Answers are single reads of rows that never change, so a transaction would only add round trips.
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
        "pool_size": CONNECTIONS,
        "max_overflow": 0,
        "connect_args": connect,
    }


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Hold an exclusive transaction, so that one of several starting servers fills the database and the others wait."""
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
    try:
        if not sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('timesim'))")
        yield
    except BaseException:
        # The failure may have ended the transaction or the connection already; the first error must be shown.
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _fill(connection: Connection, seed: int) -> None:
    wanted = content.fingerprint(seed)
    with _transaction(connection):
        found = None
        if inspect(connection).has_table(ORIGIN.name):
            found = connection.scalar(select(ORIGIN.c.fingerprint))
        if found == wanted:
            LOG.info("the database holds its content already: %s", wanted)
            return
        LOG.info("filling the database: %s", wanted)
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        zone_ids: dict[str, int] = {}
        rules: list[dict[str, object]] = []
        for name, zone_rules in content.clock_rules():
            zone_ids[name] = len(zone_ids) + 1
            rules += [{"zone_id": zone_ids[name], **asdict(rule)} for rule in zone_rules]
        connection.execute(insert(ZONES), [{"id": number, "name": name} for name, number in zone_ids.items()])
        connection.execute(insert(RULES), rules)
        connection.execute(
            insert(CITIES),
            [{"name": name, "country": country, "zone_id": zone_ids[zone]} for name, country, zone in content.CITIES],
        )
        connection.execute(
            insert(DOCUMENT),
            [{"part": part, "body": body} for part, body in enumerate(content.document_parts(seed), start=1)],
        )
        connection.execute(insert(PROMPTS), {"name": "compare_timezones", "template": content.PROMPT_TEMPLATE})
        connection.execute(insert(ORIGIN), {"fingerprint": wanted})
        if connection.dialect.name == "postgresql":
            # Before the first autovacuum, the planner has no statistics of new tables, and queries would be slower.
            for table in METADATA.sorted_tables:
                connection.exec_driver_sql(f"ANALYZE {table.name}")
