"""How the benchmarks compare and judge their measurements."""

from __future__ import annotations

import math

import pytest

from benchmarks.samples import Figure, Measure, interleaved
from benchmarks.targets import Target, all_targets


def measured(**samples: list[float]) -> Measure:
    return Measure("part", "name", "µs", samples, floor="floor")


def test_each_way_is_called_once_per_repetition_in_random_order() -> None:
    calls: list[str] = []

    measured = interleaved(
        {name: (lambda name=name: calls.append(name) or len(calls)) for name in "ABC"}, 50
    )

    turns = ["".join(calls[start : start + 3]) for start in range(0, 150, 3)]
    assert {"".join(sorted(turn)) for turn in turns} == {"ABC"}
    assert set(turns) == {"ABC", "ACB", "BAC", "BCA", "CAB", "CBA"}
    assert measured["A"] == [3 * place + turn.index("A") + 1 for place, turn in enumerate(turns)]


def test_a_figure_is_the_median_and_the_median_distance_from_it() -> None:
    assert Figure.of([1, 2, 3, 4, 100]) == Figure(3, 1)


def test_ratios_are_taken_within_a_repetition() -> None:
    # The machine is twice as slow in each repetition than in the one before.
    measure = measured(floor=[1, 2, 4, 8], ours=[1.5, 3, 6, 12])

    assert measure.ratio("ours") == Figure(1.5, 0)
    assert measure.difference("ours") == Figure(1.5, 0.75)


def test_a_ratio_to_zero_is_not_a_number() -> None:
    assert math.isnan(measured(floor=[0], ours=[1]).ratio("ours").median)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("", "part", "name", "ours", "ratio", at_least=1.5, to="floor"), "reached"),
        (Target("", "part", "name", "ours", "ratio", at_least=1.51, to="floor"), "NOT REACHED"),
        (Target("", "part", "name", "ours", "difference", at_most=5, to="floor"), "reached"),
        (Target("", "part", "name", "ours", "difference", at_most=4, to="floor"), "NOT REACHED"),
        (Target("", "part", "name", "ours", "value", at_least=15, at_most=15), "reached"),
        (Target("", "part", "name", "ours", "value", at_least=14, at_most=14), "NOT REACHED"),
        (Target("", "part", "name", "theirs", "value", at_most=1), "not measured"),
        (Target("", "part", "name", "ours", "ratio", at_most=1, to="theirs"), "not measured"),
        (Target("", "part", "another", "ours", "value", at_most=1), "not measured"),
    ],
)
def test_a_target_is_judged_by_what_was_measured(target: Target, verdict: str) -> None:
    measure = measured(floor=[10, 10, 10], ours=[14, 15, 16])

    assert target.judge([measure]).verdict == verdict


def test_a_value_that_is_not_a_number_reaches_no_target() -> None:
    target = Target("", "part", "name", "ours", "ratio", at_most=1, to="floor")

    assert target.judge([measured(floor=[0], ours=[0])]).verdict == "NOT REACHED"


def test_every_target_has_a_bound_and_a_unique_name() -> None:
    targets = all_targets()

    assert len({target.text for target in targets}) == len(targets)
    assert all((target.at_least, target.at_most) != (None, None) for target in targets)
    assert all((target.way == "value") == (target.to is None) for target in targets)
