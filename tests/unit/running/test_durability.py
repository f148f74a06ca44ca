"""Durable tasks, as ``running`` knows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.running import durability

#: A task as far as these functions ask about it.
TASK: Any = SimpleNamespace(
    name="shop.charge", target=SimpleNamespace(is_durable=True), acks_on_failure_or_timeout=None
)


def test_a_durable_task_that_nothing_keeps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_registered", [])

    with pytest.raises(InvalidModelTask) as caught:
        durability.installed("shop.charge")

    assert str(caught.value) == str(durability.missing("shop.charge"))


def test_what_is_registered_last_keeps_durable_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_registered", [])
    first, last = mock.Mock(), mock.Mock()

    durability.register(first)
    durability.register(last)

    assert durability.installed("shop.charge") is last


def test_many_calls_of_a_durable_method_in_one_task_are_refused() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        durability.check_single(TASK)

    assert str(caught.value) == (
        "shop.charge is durable, and has a record of each call; map, starmap and chunks make many "
        "calls in one task. Send a group of its signatures instead."
    )


@pytest.mark.parametrize(
    ("options", "is_acknowledged"),
    [
        ({"acks_on_failure_or_timeout": None}, True),
        ({"acks_on_failure_or_timeout": True}, True),
        ({"acks_on_failure_or_timeout": False}, False),
        ({"acks_on_failure_or_timeout": True, "acks_on_timeout": False}, False),
        ({"acks_on_failure_or_timeout": False, "acks_on_timeout": True}, True),
    ],
)
def test_a_message_that_a_time_limit_ends_is_acknowledged_as_its_task_says(
    options: dict[str, Any], is_acknowledged: bool
) -> None:
    assert durability.acknowledges_limits(SimpleNamespace(**options)) is is_acknowledged
