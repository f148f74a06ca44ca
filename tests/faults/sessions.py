"""A database server's sessions: seen, blocked and killed by an administrator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from tests.servers import HOST

SECONDS = 30


def wait_for(happened: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Return the first true answer; fail when it is too long in coming."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := happened():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"Waited in vain for {what}.")


class Sessions:
    """The sessions of one server, but for those of the administrator."""

    def __init__(self) -> None:
        self.admin = self.connect()
        self.own = {self.id_of(self.admin)}

    def connect(self) -> Any:
        """Open a session of the administrator's."""
        raise NotImplementedError

    def id_of(self, session: Any) -> int:
        """Return the server's number of a session."""
        raise NotImplementedError

    def kill(self, number: int) -> None:
        """Kill a session; it is gone when this returns."""
        raise NotImplementedError

    def _sessions(self, blocked: bool) -> list[int]:
        raise NotImplementedError

    def _lock(self, session: Any, table: str) -> None:
        raise NotImplementedError

    def ask(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows of an administrator's query."""
        with self.admin.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def all(self) -> list[int]:
        """Return the sessions."""
        return [number for number in self._sessions(blocked=False) if number not in self.own]

    def blocked(self) -> list[int]:
        """Return the sessions that wait for a lock."""
        return [number for number in self._sessions(blocked=True) if number not in self.own]

    def kill_all(self) -> int:
        """Kill the sessions, and return how many there were."""
        found = self.all()
        for number in found:
            self.kill(number)
        return len(found)

    def wait_for_blocked(self, *but: int) -> int:
        """Return a session that waits for a lock, and is none of ``but``."""

        def blocked() -> list[int]:
            return [number for number in self.blocked() if number not in but]

        return int(wait_for(blocked, "a session that is blocked")[0])

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Keep everybody from reading a table."""
        session = self.connect()
        self.own.add(self.id_of(session))
        try:
            self._lock(session, table)
            yield
        finally:
            session.close()  # which gives the lock back

    def close(self) -> None:
        """Close the administrator's session."""
        self.admin.close()


class PostgresSessions(Sessions):
    """Those of PostgreSQL."""

    def connect(self) -> Any:
        """Open a session of the administrator's."""
        import psycopg

        return psycopg.connect(
            host=HOST, port=settings.POSTGRES_PORT, user="postgres", autocommit=True
        )

    def id_of(self, session: Any) -> int:
        """Return the process of a session."""
        return int(session.info.backend_pid)

    def kill(self, number: int) -> None:
        """Kill a session."""
        self.ask("SELECT pg_terminate_backend(%s, 5000)", number)

    def _sessions(self, blocked: bool) -> list[int]:
        condition = "AND wait_event_type = 'Lock'" if blocked else ""
        rows = self.ask(
            f"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' {condition}"
        )
        return [pid for (pid,) in rows]

    def _lock(self, session: Any, table: str) -> None:
        session.autocommit = False
        session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")


class MariaDBSessions(Sessions):
    """Those of MariaDB."""

    def connect(self) -> Any:
        """Open a session of the administrator's."""
        import MySQLdb

        return MySQLdb.connect(
            host=HOST, port=settings.MARIADB_PORT, user="root", database="mysql", autocommit=True
        )

    def id_of(self, session: Any) -> int:
        """Return the server's number of a session."""
        return int(session.thread_id())

    def kill(self, number: int) -> None:
        """Kill a session."""
        import MySQLdb

        try:
            self.ask(f"KILL {number}")
        except MySQLdb.OperationalError as error:
            if error.args[0] != 1094:  # it has gone by itself
                raise
        wait_for(lambda: number not in self.all(), f"the end of session {number}")

    def _sessions(self, blocked: bool) -> list[int]:
        condition = "AND state = 'Waiting for table metadata lock'" if blocked else ""
        rows = self.ask(
            f"SELECT id FROM information_schema.processlist WHERE user = 'root' {condition}"
        )
        return [number for (number,) in rows]

    def _lock(self, session: Any, table: str) -> None:
        with session.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {table} WRITE")
