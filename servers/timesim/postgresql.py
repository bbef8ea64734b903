"""Read from PostgreSQL."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from timesim.store import Answer, Reader, Store


class PostgresqlStore(Store):
    """A store in a PostgreSQL database, read through psycopg's asynchronous connections.

    Blocking connections in threads were as fast, but their slow queries cannot be abandoned.
    """

    backend = "postgresql"

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running: set[asyncio.Task[Any]] = set()

    async def answer(self, work: Callable[[Reader], Answer], timeout: float) -> Answer:
        """Run ``work``; raise TimeoutError, or what SQLAlchemy raises."""
        # A separate task that is not awaited after a timeout: psycopg first asks the database to cancel the query, and
        # a database that hangs takes another ten seconds until that fails as well.
        task = asyncio.create_task(self._retried(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise TimeoutError
        return task.result()

    async def _retried(self, work: Callable[[Reader], Answer]) -> Answer:
        try:
            return await self._on_a_connection(work)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The pooled connections are older than the database's last start and were dropped, so try a new one. Testing
        # each connection before use would cost as much as the query.
        return await self._on_a_connection(work)

    async def _on_a_connection(self, work: Callable[[Reader], Answer]) -> Answer:
        async with self._engine.connect() as connection:
            return await connection.run_sync(lambda blocking: work(Reader(blocking)))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def postgresql_store(url: URL, settings: Mapping[str, Any]) -> PostgresqlStore:
    """Return a store for a database that is already filled, with these engine settings."""
    return PostgresqlStore(create_async_engine(url, **settings))
