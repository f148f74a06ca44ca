"""What all parts share: how thoroughly to measure, and the processes of the contenders."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from .contenders import CONTENDERS, environment_of
from .runner import Runner

T = TypeVar("T", int, float)


@dataclass
class Lab:
    """One run of the benchmarks."""

    quick: bool
    repeat: float = 1.0
    brokers: Sequence[str] = ("redis", "rabbitmq")
    concurrency: int = 2
    #: The most rows that the memory part sends with a message each.
    unbatched: int = 100_000
    begun: float = field(default_factory=time.monotonic)

    def scaled(self, full: T, quick: T) -> T:
        """Return how much of something to do."""
        return quick if self.quick else full

    def repetitions(self, full: int, quick: int) -> int:
        """Return how often to repeat something."""
        return max(1, round(self.repeat * self.scaled(full, quick)))

    def say(self, text: str) -> None:
        """Tell the one who waits what is being done, and since when."""
        print(f"[{time.monotonic() - self.begun:6.0f} s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def runners(
        self, names: Sequence[str] = tuple(CONTENDERS), **environment: str
    ) -> Iterator[dict[str, Runner]]:
        """Give a process of each contender's."""
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(Runner(**environment_of(name), **environment))
                for name in names
            }
