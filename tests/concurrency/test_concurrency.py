"""Many at once that write and read messages, beside others that pickle the same rows.

In processes of their own, for a few seconds or as many as ``TEST_SECONDS`` says: every
output is right, and nothing that the whole process shares has changed.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.unit.interpreters import run_python

SECONDS = float(os.environ.get("TEST_SECONDS", "3"))


def report(way: str, seconds: float) -> Any:
    """Return what many report that have worked in one of the ways of ``many``."""
    command = ["-m", "tests.concurrency.many", way, str(seconds)]
    return json.loads(run_python(*command, timeout=100 + 2 * seconds).splitlines()[-1])


@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.parametrize("way", ["threads", "gevent", "multiprocessing", "billiard"])
def test_nobody_changes_what_another_writes_or_reads(way: str) -> None:
    if way == "gevent":
        pytest.importorskip("gevent")

    rounds, wrong, count = report(way, SECONDS)

    assert (wrong, count) == ([], 0)
    assert all(times >= 5 for times in rounds.values()), rounds


def test_a_serializer_that_patches_models_is_reported() -> None:
    _, wrong, count = report("sabotage", 0.5)

    assert count > 0
    assert wrong[0].startswith(("plain: ", "kombu: "))
