"""``python -m benchmarks``: measure, and keep what was found; see ``benchmarks/README.md``."""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

import django

#: The parts, in order, and the minutes that each takes in full.
PARTS: Final = {
    "descriptor": 0.3,
    "imports": 1.0,
    "codec": 2.0,
    "publish": 2.0,
    "counts": 1.5,
    "consume": 15.0,
    "bulk": 2.0,
    "durable": 4.0,
    "relay": 6.0,
    "memory": 2.5,
}

#: Measured only if they are asked for.
OPTIONAL: Final = {"instructions": 12.0}
RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Measure the chosen parts; return 1 if a target is missed and that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS | OPTIONAL)}"
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two, and much noise")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--repeat", type=float, default=1.0, help="times as many repetitions")
    parser.add_argument("--concurrency", type=int, default=2, help="of the workers")
    parser.add_argument("--brokers", default="redis,rabbitmq", help="that workers consume from")
    parser.add_argument(
        "--unbatched",
        type=int,
        default=100_000,
        help="most rows of the memory part, a message each",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    parser.add_argument(
        "--own-servers",
        action="store_true",
        help="start servers as the tests do, which tells whether the benchmarks run, not how fast",
    )
    options = parser.parse_args()
    minutes_of = PARTS | OPTIONAL
    if unknown := set(options.parts) - minutes_of.keys():
        parser.error(f"There is no part {min(unknown)!r}. There are {', '.join(minutes_of)}.")

    if options.own_servers:
        start_servers(["postgres", "redis", *({"rabbitmq"} & {*options.brokers.split(",")})])
    # Told to end, it ends its workers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    import_module("benchmarks.celery")
    django.setup()
    from benchmarks import report, targets
    from benchmarks.database import table
    from benchmarks.lab import Lab

    lab = Lab(
        quick=options.quick,
        repeat=options.repeat,
        brokers=options.brokers.split(","),
        concurrency=options.concurrency,
        unbatched=options.unbatched,
    )
    chosen = [part for part in minutes_of if part in (options.parts or PARTS)]
    if not options.quick:
        lab.say(f"{sum(minutes_of[part] for part in chosen):.0f} minutes, if the machine is quiet.")
    measures, minutes = [], {}
    with table(1000):
        for part in chosen:
            lab.say(part + ("" if options.quick else f": about {minutes_of[part]:g} minutes"))
            begun = time.monotonic()
            for measure in import_module(f"benchmarks.parts.{part}").measure(lab):
                measures.append(measure)
                print(report.as_text(measure), flush=True)
            minutes[part] = (time.monotonic() - begun) / 60
    outcomes = targets.judge(measures)
    print(report.outcomes_as_text(outcomes), flush=True)
    folder = report.write(options.results, measures, outcomes, minutes, lab)
    print(f"Kept in {folder}")
    missed = [outcome for outcome in outcomes if outcome.reached is False]
    return 1 if options.check and missed else 0


def start_servers(names: list[str]) -> None:
    """Start servers that end with this process, and let the settings find them."""
    command = [sys.executable, "-m", "tests.servers", *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    atexit.register(process.terminate)
    assert process.stdout is not None  # noqa: S101
    for name in names:
        _, _, url = process.stdout.readline().strip().partition("=")
        if not url:
            sys.exit(f"The server {name!r} could not be started.")
        os.environ[f"BENCH_{name.upper()}_URL"] = url


if __name__ == "__main__":
    sys.exit(main())
