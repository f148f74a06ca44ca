"""The ids of links: the same for each delivery of a task, and others for other tasks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import chord, group

from cereal_methods.records.links import identify
from tests.bank.models import Account


def identified(callbacks: Any, task_id: str = "a", turn: int = 0) -> Any:
    request = SimpleNamespace(callbacks=callbacks, errbacks=None)
    identify(request, task_id, turn)
    assert request.errbacks is None
    return request.callbacks


def ids_in(value: Any) -> list[str]:
    """Return the ids of the tasks in signatures, in their order."""
    if isinstance(value, list):
        return [found for each in value for found in ids_in(each)]
    if value.get("subtask_type"):
        assert "task_id" not in value["options"]
        parts = [value["kwargs"].get(name, []) for name in ("tasks", "header", "body")]
        return [found for part in parts for found in ids_in(part)]
    return [value["options"]["task_id"]]


@pytest.fixture
def links(db: None) -> list[Any]:
    charge = Account.objects.create().charge
    return [
        charge.s(1),
        charge.s(2) | charge.s(3),
        group(charge.s(4), charge.s(5)),
        chord([charge.s(6), charge.s(7)], charge.s(8)),
    ]


def test_each_task_of_each_link_has_an_id_of_its_own(links: list[Any]) -> None:
    found = ids_in(identified(links))
    assert len(found) == len(set(found)) == 8


def test_the_ids_are_the_same_each_time(links: list[Any]) -> None:
    assert ids_in(identified(links)) == ids_in(identified(links))


@pytest.mark.parametrize(("task_id", "turn"), [("b", 0), ("a", 1)])
def test_they_are_others_for_another_task_or_turn(
    links: list[Any], task_id: str, turn: int
) -> None:
    assert not set(ids_in(identified(links))) & set(ids_in(identified(links, task_id, turn)))


def test_a_link_keeps_the_id_that_it_has(links: list[Any]) -> None:
    (link,) = identified([links[0].set(task_id="mine")])
    assert link["options"]["task_id"] == "mine"


def test_the_signatures_that_were_given_are_not_changed(links: list[Any]) -> None:
    identified(links)
    assert "task_id" not in links[0].options


@pytest.mark.parametrize("callbacks", [[5], ["a", None], [{"subtask_type": "chain"}], "text"])
def test_what_is_no_signature_is_left_to_celery(callbacks: Any) -> None:
    """It came in a message."""
    identified(callbacks)
