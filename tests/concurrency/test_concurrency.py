"""Many at once that write and read messages, beside others that pickle the same rows.

In processes of their own, for a few seconds or as many as ``TEST_SECONDS`` says: every
output is right, and nothing that the whole process shares has changed.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.unit.interpreters import SETUP, run

SECONDS = float(os.environ.get("TEST_SECONDS", "3"))

#: What runs in each of the processes, around the way in which they are many.
BEFORE = f"""
from tests.concurrency.work import Crew, WORKS, state

before = state()
crew = Crew({SECONDS})
"""
AFTER = """
assert state() == before, [key for key, value in state().items() if value != before[key]]
print(crew.report())
"""

THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor

sys.setswitchinterval(1e-5)  # they take turns far more often than they would
with ThreadPoolExecutor(32) as pool:
    list(pool.map(crew.run, range(32)))
"""

GREENLETS = """
import gevent
import gevent.pool

pool = gevent.pool.Pool(32)
pool.map(crew.run, range(32))
"""

#: As the prefork pool does it: children, and a parent that is at work as well. They are
#: forked before its threads begin: a child would else inherit locks that nobody releases.
FORKS = """
import threading

from {module} import get_context

def child(number):
    same = state() == before
    crew.rounds = dict.fromkeys(WORKS, 0)
    crew.run(number)
    return crew.rounds, crew.wrong, same

pool = get_context("fork").Pool(4)
of_children = pool.map_async(child, range(2 * len(WORKS)), chunksize=1)
threads = [threading.Thread(target=crew.run, args=[number]) for number in range(len(WORKS))]
for thread in threads:
    thread.start()
found = of_children.get(100 + {seconds})
for thread in threads:
    thread.join()
pool.close()  # and not terminate(): a child that is killed while it holds a lock of the pool's
pool.join()  # keeps it, and the parent waits for that lock
for rounds, wrong, same in found:
    crew.wrong += wrong if same else [*wrong, "a child began with something changed"]
    for name, times in rounds.items():
        crew.rounds[name] += times
"""

#: gevent's own, before anything else is imported.
PATCH = "from gevent import monkey; monkey.patch_all()"

WAYS = {
    "threads": (SETUP, BEFORE, THREADS, AFTER),
    "gevent": (PATCH, SETUP, BEFORE, GREENLETS, AFTER),
    "multiprocessing": (
        SETUP,
        BEFORE,
        FORKS.format(module="multiprocessing", seconds=SECONDS),
        AFTER,
    ),
    "billiard": (SETUP, BEFORE, FORKS.format(module="billiard", seconds=SECONDS), AFTER),
}


@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.parametrize("way", WAYS)
def test_nobody_changes_what_another_writes_or_reads(way: str) -> None:
    if way == "gevent":
        pytest.importorskip("gevent")

    rounds, wrong, wrongs = report(run(*WAYS[way], timeout=100 + 2 * SECONDS))

    assert (wrong, wrongs) == ([], 0)
    assert all(times >= 5 for times in rounds.values()), rounds


def report(printed: str) -> Any:
    """Return what a crew has reported."""
    return json.loads(printed.splitlines()[-1])


SABOTAGE = """
from django.db.models import Model
from tests.concurrency import work

def bad(self):
    return work.ModelReference, ("shop.Order", 5, "default")

def message(name, whole=work.message):
    # What django-cereal 0.2.1 does while it writes.
    Model.__reduce__ = bad
    try:
        return whole(name)
    finally:
        del Model.__reduce__

for name in work.FORMATS:
    work.WORKS[name] = lambda name=name: message(name)
"""


def test_a_serializer_that_patches_models_is_found_out() -> None:
    before = BEFORE.replace(str(SECONDS), "0.5")

    _, wrong, wrongs = report(run(SETUP, SABOTAGE, before, THREADS, "print(crew.report())"))

    assert wrongs > 0
    assert wrong[0].startswith("plain: ") or wrong[0].startswith("kombu: ")
