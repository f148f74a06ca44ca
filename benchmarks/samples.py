"""Samples that were taken in turns, their medians, and their ratios pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import Any, Final

#: What was measured in each repetition, by the name of what was measured.
Samples = dict[str, list[float]]

#: The step of ``codec`` that is the whole of a message's way, but for the database.
FIRST_LINE: Final = "to the method's first line"


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the median of the distances from it."""

    median: float
    noise: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Return the figure of some samples."""
        middle = median(values)
        return cls(middle, median(abs(value - middle) for value in values))


def interleaved(ways: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, list[Any]]:
    """Call each way once in every repetition, and return what they return, in order.

    Each repetition has an order of its own, the same in each run: where a way always comes
    after the same other, it is measured in what that one leaves behind.
    """
    found: dict[str, list[Any]] = {name: [] for name in ways}
    for turn in range(repeat):
        for name in Random(turn).sample(list(ways), len(ways)):  # noqa: S311
            found[name].append(ways[name]())
    return found


@dataclass
class Measure:
    """Samples of one thing, for all contenders that can do it."""

    part: str
    name: str
    unit: str
    samples: Samples
    less_is_better: bool = True
    #: What the others are compared with.
    floor: str | None = None
    #: Whether these are counts, which have no noise.
    exact: bool = False
    note: str = ""
    #: What the samples were made of, where that is of use.
    details: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str) -> Figure:
        """Return the median of one contender."""
        return Figure.of(self.samples[name])

    def ratio(self, name: str, to: str | None = None) -> Figure:
        """Return the median of the ratios within each repetition."""
        below = self.samples[to or self.floor or name]
        pairs = zip(self.samples[name], below, strict=True)
        return Figure.of([one / other if other else float("nan") for one, other in pairs])

    def difference(self, name: str, to: str | None = None) -> Figure:
        """Return the median of the differences within each repetition."""
        below = self.samples[to or self.floor or name]
        return Figure.of([a - b for a, b in zip(self.samples[name], below, strict=True)])

    def as_json(self) -> dict[str, Any]:
        """Return all of it, and what follows from it."""
        found: dict[str, Any] = {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "less_is_better": self.less_is_better,
            "floor": self.floor,
            "exact": self.exact,
            "note": self.note,
            "details": self.details,
            "contenders": {},
        }
        for name, values in self.samples.items():
            entry: dict[str, Any] = {"samples": values}
            figure = self.figure(name)
            entry |= {"median": figure.median, "noise": figure.noise}
            if self.floor in self.samples and name != self.floor and not self.exact:
                ratio = self.ratio(name)
                entry |= {"ratio": ratio.median, "ratio_noise": ratio.noise}
            found["contenders"][name] = entry
        return found
