"""Small bodies that would take much time or memory, were they read as they ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.bodies import FORMATS

from .bombs import SECONDS, bombs


@pytest.fixture(scope="module", params=FORMATS)
def read(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    """What a process with limits says of each of a format's bombs."""
    command = [sys.executable, "-m", "tests.fuzz.bombs", request.param]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * SECONDS)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return request.param, [json.loads(line) for line in done.stdout.splitlines()]


def test_no_bomb_takes_more_memory_than_bodies_of_its_size(
    read: tuple[str, list[dict[str, Any]]],
) -> None:
    name, told = read

    assert {each["kind"] for each in told} == bombs(name).keys()
    for each in told:
        # What text costs as objects, several times over: decoded, shown, pickled.
        assert each["memory"] < 16_000_000 + 300 * each["size"], each


def test_no_bomb_takes_long(read: tuple[str, list[dict[str, Any]]]) -> None:
    # Each of them would take more than this, by far, were it read as it asks for.
    assert [each for each in read[1] if each["seconds"] > 20] == []


def test_bombs_end_in_an_error_or_have_little_in_them(
    read: tuple[str, list[dict[str, Any]]],
) -> None:
    name, told = read

    outcomes = {each["kind"]: each["outcome"] for each in told}
    valid = {kind for kind, outcome in outcomes.items() if outcome == "tuple"}

    for kind in ("a billion laughs", "a billion merges", "lists in lists"):
        assert {kind, f"{kind} (plain)"}.isdisjoint(valid)
    assert set(outcomes.values()) <= {
        "tuple",
        "InvalidMessage",
        "SignatureMismatch",
        "UnknownVersion",
    }
    if name == "cereal-pickle":
        assert valid == set()
