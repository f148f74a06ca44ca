"""Many that write and read messages at the same time, in this process or its children.

``python -m tests.concurrency.many WAY SECONDS`` prints what they report. ``sabotage`` is a way with
a serializer that patches models.
"""

from __future__ import annotations

import sys

if sys.argv[1] == "gevent":  # before anything else is imported
    from gevent import monkey

    monkey.patch_all()

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

import django

import tests.celery  # noqa: F401  (the project's app)

django.setup()

from tests.concurrency import work  # noqa: E402  (it needs the apps)

WAY: Final = sys.argv[1]
SECONDS: Final = float(sys.argv[2])


def threads() -> None:
    """Run in threads, which take turns far more often than they would."""
    sys.setswitchinterval(1e-5)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(crew.run, range(32)))


def greenlets() -> None:
    """Run in greenlets."""
    from gevent.pool import Pool

    Pool(32).map(crew.run, range(32))


def child(number: int) -> tuple[dict[str, int], list[str], bool]:
    """Run in a process of a pool; return what its crew reports, and whether it began unchanged."""
    is_same = work.state() == before
    crew.rounds = dict.fromkeys(work.WORKS, 0)
    crew.run(number)
    return crew.rounds, crew.wrong, is_same


def forks() -> None:
    """Run as the prefork pool does: in children, and in a parent that works too.

    The children are forked before the parent's threads begin. Otherwise they would inherit locks
    that nobody releases.
    """
    pool = import_module(WAY).get_context("fork").Pool(4)
    numbers = range(len(work.WORKS))
    of_children = pool.map_async(child, [*numbers, *numbers], chunksize=1)
    workers = [threading.Thread(target=crew.run, args=[number]) for number in numbers]
    for worker in workers:
        worker.start()
    reports = of_children.get(100 + SECONDS)
    for worker in workers:
        worker.join()
    # Not terminate(): a child that is killed while it holds a lock of the pool keeps it, and the
    # parent waits for that lock.
    pool.close()
    pool.join()
    for rounds, wrong, is_same in reports:
        crew.wrong += wrong if is_same else [*wrong, "a child began with something changed"]
        for name, times in rounds.items():
            crew.rounds[name] += times


def sabotage() -> None:
    """Let serializers patch models while they write, as django-cereal 0.2.1 does."""

    def message(name: str) -> Any:
        work.Model.__reduce__ = bad  # type: ignore[method-assign, assignment]
        try:
            return whole(name)
        finally:
            del work.Model.__reduce__

    def bad(self: Any) -> Any:
        return work.ModelReference, ("shop.Order", 5, "default")

    whole = work.message
    for name in work.FORMATS:
        work.WORKS[name] = functools.partial(message, name)


WAYS: Final = {
    "threads": threads,
    "gevent": greenlets,
    "multiprocessing": forks,
    "billiard": forks,
    "sabotage": threads,
}

if WAY == "sabotage":
    sabotage()
before = work.state()
crew = work.Crew(SECONDS)
WAYS[WAY]()
if WAY != "sabotage":
    after = work.state()
    assert after == before, [key for key, value in after.items() if value != before[key]]
print(crew.report())
