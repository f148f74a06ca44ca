"""A plugin of pytest's for tests side by side: those that share a worker stay together.

``pytest -p tests.worker.side_by_side -n 3``; pytest-xdist would else start the workers of
a module in every process anew. What takes longest begins first.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The modules that take longest, the longest first.
SLOW = ["test_transactions", "test_deploys", "test_bulk_faults", "test_locks", "test_bulk"]

#: The beginnings of the parameters of a test that say which worker it has.
WORKERS = re.compile(r"(\w+)\.py::.*\[(prefork|threads|solo|cereal-pickle|cereal-json|json)\b")


class Scheduling(LoadScopeScheduling):
    """Gives each process tests that have a module and a worker in common."""

    def _split_scope(self, nodeid: str) -> str:
        found = WORKERS.search(nodeid)
        return "-".join(found.groups()) if found else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: SLOW.index(name) if (name := item.path.stem) in SLOW else 99)
