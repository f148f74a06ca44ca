"""Every committed task's effect happens once, and none of a rolled-back transaction, ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .run import KINDS, Run

#: Transactions of a run; CHAOS_TRANSACTIONS has more of them.
TRANSACTIONS = int(os.environ.get("CHAOS_TRANSACTIONS", "1200"))
SEED = int(os.environ.get("CHAOS_SEED", "14"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("database", "broker"),
    [("postgres", "redis"), ("postgres", "rabbitmq"), ("mariadb", "redis")],
)
def test_what_commits_happens_once(tmp_path: Path, database: str, broker: str) -> None:
    outcome = Run(
        tmp_path,
        database=database,
        broker=broker,
        transactions=TRANSACTIONS,
        seed=SEED,
        pause=0.05,
    ).go()
    assert outcome.faults() == [], f"seed {SEED}"
    assert outcome.killed["database"] == 2
    assert set(outcome.killed) == {*KINDS, "database"}
    assert outcome.found.total() > TRANSACTIONS * 0.8
