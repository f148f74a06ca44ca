"""Python in processes of their own, where nothing has been imported yet."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: What a program needs that uses the tests' models.
SETUP = """
import tests.celery
import django
django.setup()
"""


def run(
    *parts: str, directory: Path = ROOT, settings: str = "tests.settings", timeout: float = 100
) -> str:
    """Return what a program prints; fail if it fails, or warns of anything."""
    program = "\n".join(map(textwrap.dedent, parts))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=directory,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": settings},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
