"""What encoders and lower rooms can call on a message's containers."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.rows.container import (
    ArgumentContainer,
    with_plain_containers,
    with_references,
)


class Args(ArgumentContainer):
    """A container with one reference, as text."""

    def with_references(self) -> Any:
        """Return the reference."""
        return ["<shop.Order 5>"]

    def for_json(self) -> Any:
        """Return its plain form."""
        return ["plain form"]


def test_the_safe_view_is_what_was_sent() -> None:
    assert Args().safe_view() == ["<shop.Order 5>"]


def test_args_do_not_contain_self() -> None:
    assert Args().own_reference is None


@pytest.mark.parametrize("method", ["with_references", "for_json"])
def test_a_container_says_what_it_holds(method: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(ArgumentContainer(), method)()


def test_parts_of_a_received_message_are_as_sent() -> None:
    assert with_references(Args(), (1,), None) == (["<shop.Order 5>"], (1,), None)


@pytest.mark.parametrize(
    ("references", "content"), [(True, ["<shop.Order 5>"]), (False, ["plain form"])]
)
def test_containers_at_any_depth_become_lists(references: bool, content: Any) -> None:
    value = {"a": [1, (Args(),)], "b": 2}

    assert with_plain_containers(value, references=references) == {"a": [1, [content]], "b": 2}


def test_a_value_without_containers_is_not_copied() -> None:
    value = {"a": [1, (2,)], "b": {3}}

    assert with_plain_containers(value, references=True) is value
