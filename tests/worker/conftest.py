"""Fixtures of the tests that start real workers.

A server that is not there skips a test, which says what is missing; with ``CI=true`` it fails.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings

from cereal_methods import CEREAL_PICKLE
from cereal_methods.running.target import is_row_task
from tests.celery import app
from tests.servers import ProgramMissing, Unavailable, start

from .workers import Worker, send_to


def need(url: str) -> None:
    """Let the server at ``url`` run; where it cannot, skip, or fail in CI."""
    try:
        start(url)
    except (ProgramMissing, Unavailable) as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def servers() -> None:
    """Start the servers that all of these tests need."""
    need(settings.DATABASE_URL)
    need(settings.CELERY_BROKER_URL)


@pytest.fixture(scope="session", autouse=True)
def result_tables(servers: None) -> Iterator[None]:
    """Remove what Celery's database backend has made, where it is used."""
    yield
    if hasattr(settings, "CELERY_DATABASE_TABLE_NAMES"):
        with app.backend.ResultSession() as session:
            app.backend.task_cls.metadata.drop_all(session.get_bind())


@pytest.fixture(scope="session", autouse=True)
def marks_at_once() -> Iterator[None]:
    """Let the tests' own process mark what it has sent at once, also in a burst."""
    from cereal_methods.records import marks  # which imports models

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "BURST", -1.0)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: None) -> None:
    """Start the servers before the test databases are made."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.worker)
            # To empty a database takes longer than most tests: modules that need others say so.
            if item.get_closest_marker("django_db") is None:
                item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="module")
def start_worker(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[Callable[..., Worker]]:
    """Start workers that live as long as the module's tests."""
    with ExitStack() as stack:

        def start(*options: str, **environment: str) -> Worker:
            folder = tmp_path_factory.mktemp("worker")
            return stack.enter_context(Worker(folder, *options, **environment))

        yield start


POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=2"),
    "threads": ("--pool=threads", "--concurrency=2"),
    "solo": ("--pool=solo",),
}


@pytest.fixture(scope="module", params=POOLS)
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker of each pool, to which the tests' messages go."""
    found = start_worker(*POOLS[request.param])
    yield found
    found.__exit__()


@pytest.fixture(scope="module")
def crowd(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that runs ten tasks at once."""
    found = start_worker("--pool=threads", "--concurrency=10", "--prefetch-multiplier=1")
    yield found
    found.__exit__()


@pytest.fixture(scope="module", params=["cereal-pickle", "cereal-json", "json"])
def serializer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each serializer in turn, for all methods that name none, here and in ``any_worker``."""
    ours = [task for task in app.tasks.values() if is_row_task(task)]
    before = [task.serializer for task in ours]
    for task in ours:
        if task.serializer == CEREAL_PICKLE:
            task.serializer, task._exec_options = request.param, None
    yield request.param
    for task, name in zip(ours, before, strict=True):
        task.serializer, task._exec_options = name, None


@pytest.fixture(scope="module")
def any_worker(serializer: str, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker under each serializer."""
    found = start_worker(*POOLS["prefork"], TEST_SERIALIZER=serializer)
    yield found
    found.__exit__()


@pytest.fixture(autouse=True)
def route(request: pytest.FixtureRequest) -> Iterator[Callable[[Worker], None]]:
    """Send the test's messages to its worker's queue, or to the one that it names."""

    def to(worker: Worker) -> None:
        send_to(worker)
        worker.events()

    before = app.conf.task_default_queue
    for name in {"worker", "any_worker", "crowd"} & set(request.fixturenames):
        to(request.getfixturevalue(name))
    yield to
    settings.CELERY_TASK_DEFAULT_QUEUE = app.conf.task_default_queue = before


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A queue that nothing consumes."""
    name = f"nowhere-{uuid.uuid4().hex[:12]}"
    yield name
    with app.connection_for_write() as broker:
        broker.default_channel.queue_delete(name)
