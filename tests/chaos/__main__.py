"""A run by hand: ``python -m tests.chaos --transactions 10000 --seed 7``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .run import Run


def main() -> None:
    """Run it, and say what it has found; the seed repeats who is killed, and what is sent."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--transactions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", choices=["postgres", "mariadb"], default="postgres")
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], default="redis")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between transactions")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {given.seed}, logs in {folder}", flush=True)
    outcome = Run(
        folder,
        database=given.database,
        broker=given.broker,
        transactions=given.transactions,
        seed=given.seed,
        pause=given.pause,
    ).go()
    print(
        f"{outcome.expected.total():,} effects expected, {outcome.found.total():,} found, records "
        f"{outcome.states}, killed {dict(outcome.killed)}, {outcome.seconds:.0f} s"
    )
    if faults := outcome.faults():
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
