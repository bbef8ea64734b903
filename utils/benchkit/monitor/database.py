"""PostgreSQL's own view of its connections."""

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
# Nothing can be written, and a server that is too busy to answer at once is not asked for more.
_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=900"


def postgres_connections(socket_dir: str, user: str, interval_s: float) -> Iterator[MonitoredConnections]:
    """The connections at each interval: running a statement (active), or not (idle, also within a transaction).

    One connection is kept for it, which does not count.

    Args:
        socket_dir: where the server's socket lies; it trusts who reaches that.
        user: who may see all connections.
        interval_s: seconds from one look to the next.

    Raises:
        psycopg.Error: the server does not answer, or not any more.
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
