"""A process of one contender, which measures what it is asked to.

Each contender has processes of its own: django-cereal patches Django's models and
replaces a decoder while it works, and no contender shall run warm on another's work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Self


class Runner:
    """The process, as the one that asks it sees it."""

    def __init__(self, **environment: str) -> None:
        self.environment = {**os.environ, **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runner"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a module's function there, with and for what JSON can hold."""
        question = [function.__module__, function.__name__, arguments]
        print(json.dumps(question), file=self.process.stdin, flush=True)
        answer = next(iter(self.process.stdout or ()), None)
        if not answer:
            raise RuntimeError(
                f"A process of {self.environment.get('BENCH_CONTENDER')!r} has ended while it was "
                f"asked for {function.__name__}; what it says is above."
            )
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()


def serve() -> None:
    """Answer the questions on standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything prints is no answer
    for line in sys.stdin:
        module, name, arguments = json.loads(line)
        answer = getattr(import_module(module), name)(**arguments)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    import django

    import_module("benchmarks.celery")
    django.setup()
    serve()
