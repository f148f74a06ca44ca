"""Instructions that the processor executes for one message, counted exactly, by callgrind.

The same as ``codec``, without any noise from what else runs on the machine; but
instructions are no time. It needs valgrind and takes a minute or two a contender, so it is
measured only where it is asked for by name.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django

from benchmarks.samples import FIRST_LINE, Measure

if TYPE_CHECKING:
    from benchmarks.lab import Lab

#: What is counted: the kinds and steps of ``codec``, each so many times.
STEPS: Final = [
    (kind, step)
    for kind in ("method", "plain")
    for step in ("encode", "loads", "decode", FIRST_LINE)
]
TIMES: Final = {"method": 200, "plain": 5}

#: The function of C inside of which callgrind counts, and after each call of which it writes
#: down what it has counted: nothing else here calls it.
GATE: Final = "math_fsum"


def measure(lab: Lab) -> Iterator[Measure]:
    """Give the instructions of one message in each step."""
    from benchmarks.contenders import AGAIN, CONTENDERS, FLOOR
    from benchmarks.parts.codec import KINDS

    if shutil.which("valgrind") is None:
        lab.say("instructions: left out, as valgrind is not installed")
        return
    counts = {}
    for name in CONTENDERS:
        if name != AGAIN:
            lab.say(f"instructions: {name}")
            counts[name] = _counted(name)
    for place, (kind, step) in enumerate(STEPS):
        samples = {name: [found[place]] for name, found in counts.items()}
        title = f"{KINDS[kind]}: {step}"
        yield Measure("instructions", title, "instructions", samples, floor=FLOOR, exact=True)


def _counted(name: str) -> list[float]:
    from benchmarks.contenders import environment_of

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [f"--toggle-collect={GATE}", f"--dump-after={GATE}", "--quiet"]
        command += [sys.executable, "-m", "benchmarks.parts.instructions"]
        environment = {**os.environ, **environment_of(name)}
        subprocess.run(command, env=environment, check=True)  # noqa: S603
        dumps = sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        counts = [_total(path) for path in dumps]
    if len(counts) < len(STEPS):
        raise RuntimeError(f"callgrind has counted {len(counts)} times, and not {len(STEPS)}.")
    return [round(count / TIMES[kind]) for count, (kind, _) in zip(counts, STEPS, strict=False)]


def _total(path: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> None:
    """Run each step inside the gate; callgrind runs this."""
    from benchmarks.parts import codec

    for kind in dict.fromkeys(kind for kind, _ in STEPS):
        for _, run in codec.prepared(kind):
            for _ in range(3):
                run()
            _through_gate(run, TIMES[kind])


def _through_gate(run: Callable[[], Any], times: int) -> None:
    math.fsum(0.0 for _ in range(times) if run() or True)


if __name__ == "__main__":
    import_module("benchmarks.celery")
    django.setup()
    main()
