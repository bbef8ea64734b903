"""Connection counts from PostgreSQL itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from benchkit.model import MonitoredConnections

_QUERY = """
SELECT count(*) FILTER (WHERE state NOT LIKE 'idle%'), count(*) FILTER (WHERE state LIKE 'idle%'),
       current_setting('max_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
# Read-only, and with a short timeout so that a busy server gets no additional load.
_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=900"


def postgres_connections(socket_dir: str, user: str, interval_s: float) -> Iterator[MonitoredConnections]:
    """Yield the number of connections at each interval: active (running a statement), or idle (also in a transaction).

    The query's own connection stays open and is not counted.

    Args:
        socket_dir: directory of the server's socket, which the server trusts.
        user: a user who may see all connections.
        interval_s: interval in seconds.

    Raises:
        psycopg.Error: the server does not answer, or stopped answering.
    """
    with psycopg.connect(
        host=socket_dir,
        user=user,
        dbname="postgres",
        connect_timeout=2,
        options=_OPTIONS,
        application_name="benchmark monitor",
        autocommit=True,
    ) as connection:
        while True:
            row = connection.execute(_QUERY).fetchone()
            if row is not None:
                yield MonitoredConnections(active=row[0], idle=row[1], limit=row[2])
            time.sleep(interval_s)
