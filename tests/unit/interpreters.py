"""Python in new processes, which have not imported anything yet."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_program(
    name: str,
    *arguments: str,
    directory: Path = ROOT,
    settings: str = "tests.settings",
    timeout: float = 100,
) -> str:
    """Return what a module of ``tests/unit/programs`` prints, run as a script in a directory."""
    script = Path(__file__).with_name("programs") / f"{name}.py"
    command = [str(script), *arguments]
    return run_python(*command, directory=directory, settings=settings, timeout=timeout)


def run_python(
    *command: str,
    directory: Path = ROOT,
    settings: str = "tests.settings",
    timeout: float = 100,
    with_stderr: bool = False,
) -> str:
    """Return what Python prints; fail if it fails, or warns of anything."""
    paths = [str(directory), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=directory,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "PYTHONPATH": os.pathsep.join(paths),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if with_stderr else subprocess.PIPE,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout.strip()


def import_without(monkeypatch: pytest.MonkeyPatch, name: str, missing: str) -> None:
    """Import a module once more, as if another were not installed. Does not replace the first."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setitem(sys.modules, missing, None)
    spec.loader.exec_module(module_from_spec(spec))
