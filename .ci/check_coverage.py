"""Report what the unit tests and the worker tests covered together, and hold the bounds.

Combines what ``tox run -e py`` and ``tox run -e worker`` left behind. Exits with 1 below a bound.
Where a server's program is missing the worker tests were skipped: the report is printed, and only
CI fails for it.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = [ROOT / ".coverage.py", ROOT / ".coverage.worker"]

#: The lowest percentage of lines and branches, by what it is counted in.
BOUNDS = {
    "*/cereal_methods/*": 95,
    "*/cereal_methods/rows/*": 100,
    "*/cereal_methods/serializers/*": 100,
    "*/cereal_methods/running/*": 100,
}

#: What the worker tests need.
SERVERS = ["postgres", "redis", "rabbitmq"]


def coverage(*arguments: str) -> int:
    """Run coverage, and return its exit status."""
    # In a file of its own: under ".coverage" a report would take in the others, and remove them.
    environment = {**os.environ, "COVERAGE_FILE": str(ROOT / ".coverage.together")}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def missing_programs() -> list[str]:
    """Return what kept the worker tests from running, by the tests' own account."""
    kinds = runpy.run_path(str(ROOT / "tests" / "servers" / "kinds.py"))
    found: list[str] = kinds["missing"](*SERVERS)
    return found


def main() -> int:
    """Report, and return the exit status."""
    if absent := [path.name for path in DATA if not path.exists()]:
        print(f"Missing: {', '.join(absent)}. Run `tox run -e py,worker` first.")
        return 1
    coverage("combine", "--quiet", "--keep", *map(str, DATA))
    below = []
    for pattern, bound in BOUNDS.items():
        print(f"\n{pattern}: at least {bound} %", flush=True)
        if coverage(
            *("report", "--skip-covered", "--show-missing", f"--include={pattern}"),
            *("--precision=2", f"--fail-under={bound}"),
        ):
            below.append(pattern)
    if not below:
        return 0
    print(f"\nBelow the bound, or not measured: {', '.join(below)}.")
    reasons = missing_programs()
    if reasons and not os.environ.get("CI"):
        print("The worker tests were skipped, so this does not count:", *reasons, sep="\n")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
