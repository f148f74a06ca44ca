"""Fixtures of the tests that stop and kill.

The servers are the tests' own. A program that is not there skips a test, which says what is
missing; with ``CI=true`` it fails. Tests under the marker ``long`` are left out where time is
short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from tests.servers import Server
from tests.worker.conftest import need
from tests.worker.workers import Worker, send_to

from . import ledger
from .sessions import MariaDBSessions, PostgresSessions, Sessions

POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=2"),
    "threads": ("--pool=threads", "--concurrency=4"),
    "solo": ("--pool=solo",),
    "gevent": ("--pool=gevent", "--concurrency=20"),
}

#: The ways to connect: with a connection that is kept, with Django's pool, to MariaDB.
ALIASES = ("default", "pooled", "maria")


def every_pool(*short: str, but: str = "") -> Any:
    """Return a mark that runs a test on each pool; those that are not ``short`` take ``long``."""
    marks = [
        pytest.param(pool, marks=[] if pool in short else [pytest.mark.long])
        for pool in POOLS
        if pool != but
    ]
    return pytest.mark.parametrize("pool", marks)


def every_way(*short: tuple[str, str]) -> Any:
    """Return a mark for each way to connect on each pool; those not ``short`` take ``long``."""
    ways = [(alias, pool) for alias in ALIASES for pool in POOLS]
    marks = [pytest.param(*way, marks=[] if way in short else [pytest.mark.long]) for way in ways]
    return pytest.mark.parametrize(("alias", "pool"), marks)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.worker)
            item.add_marker(pytest.mark.timeout(240))


def running(name: str) -> Server:
    """Return a server that runs; skip, or fail in CI, where its program is missing."""
    server = Server(name)
    need(server.url)
    return server


def make_tables(using: str) -> None:
    """Make the tables of the tests' models in a database."""
    call_command("migrate", database=using, run_syncdb=True, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def database_access(django_db_blocker: Any) -> Iterator[None]:
    """Let the tests use their databases, which are no test databases of Django's making."""
    with django_db_blocker.unblock():
        yield
        for connection in connections.all(initialized_only=True):
            connection.close()
            if getattr(connection, "pool", None):
                connection.close_pool()


@pytest.fixture(scope="session", autouse=True)
def redis() -> Server:
    """The broker, the results and the ledger of tests that stop something else."""
    return running("redis")


@pytest.fixture(scope="session")
def postgres(database_access: None) -> Server:
    """PostgreSQL, with the tables."""
    server = running("postgres")
    make_tables("default")
    return server


@pytest.fixture(scope="session")
def mariadb(database_access: None) -> Server:
    """MariaDB, with the tables."""
    if "maria" not in settings.DATABASES:
        pytest.skip("mysqlclient is not installed")
    server = running("mariadb")
    make_tables("maria")
    return server


@pytest.fixture(scope="session")
def sqlite(database_access: None) -> Iterator[Path]:
    """A database in a file, with the tables."""
    path = Path(settings.DATABASES["sqlite"]["NAME"])
    make_tables("sqlite")
    yield path
    path.unlink()


@pytest.fixture
def broker() -> Server:
    """An empty Redis that may be restarted: it brings back what was in it."""
    server = running("broker")
    ledger.empty(server.url)
    return server


@pytest.fixture(scope="session")
def rabbitmq() -> Server:
    """RabbitMQ, which may be restarted."""
    return running("rabbitmq")


@pytest.fixture(autouse=True)
def clean(redis: Server) -> Iterator[None]:
    """Begin with an empty ledger, and without connections from the test before."""
    ledger.clear()
    yield
    connections.close_all()


def celery_settings(**changes: Any) -> dict[str, str]:
    """Return the environment of a worker whose Celery has these settings."""
    return {"FAULTS_CELERY": json.dumps({f"CELERY_{key}": changes[key] for key in changes})}


@pytest.fixture(scope="session")
def workers(
    tmp_path_factory: pytest.TempPathFactory, redis: Server
) -> Iterator[Callable[..., Worker]]:
    """Make workers, each on its queue, that end with the tests at the latest."""
    with ExitStack() as stack:

        def make(pool: str, *options: str, **changes: Any) -> Worker:
            worker = Worker(
                tmp_path_factory.mktemp("worker"),
                *POOLS[pool],
                *options,
                DJANGO_SETTINGS_MODULE="tests.faults.settings",
                **celery_settings(**changes),
            )
            stack.callback(end, worker)
            return worker

        yield make


def end(worker: Worker) -> None:
    """End a worker's processes, if any are left."""
    if hasattr(worker, "process") and worker.process.poll() is None:
        worker.__exit__()


@pytest.fixture
def start(workers: Callable[..., Worker]) -> Iterator[Callable[..., Worker]]:
    """Start workers of the test's own, to whom its messages go."""
    with ExitStack() as stack:

        def make(pool: str, *options: str, **changes: Any) -> Worker:
            worker = workers(pool, *options, **changes).__enter__()
            stack.callback(end, worker)
            send_to(worker)
            return worker

        yield make


@pytest.fixture(scope="session")
def shared(workers: Callable[..., Worker]) -> Callable[..., Worker]:
    """Give a worker that serves all tests that ask for one like it, one after the other."""
    found: dict[str, Worker] = {}

    def like(pool: str, **changes: Any) -> Worker:
        key = f"{pool} {changes}"
        if key not in found:
            found[key] = workers(pool, **changes).__enter__()
        send_to(found[key])
        return found[key]

    return like


#: The setting of Celery's under which a worker keeps its database connections between tasks.
KEEPS = {"DB_REUSE_MAX": 1_000_000}


@pytest.fixture
def sessions(request: pytest.FixtureRequest, alias: str) -> Iterator[Sessions]:
    """The sessions of the server that the test's ``alias`` leads to, which runs."""
    request.getfixturevalue("mariadb" if alias == "maria" else "postgres")
    found = MariaDBSessions() if alias == "maria" else PostgresSessions()
    yield found
    found.close()


@pytest.fixture(params=ALIASES)
def alias(request: pytest.FixtureRequest) -> str:
    """Each way to connect, unless the test names one."""
    return str(request.param)
