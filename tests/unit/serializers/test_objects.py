"""The objects among a call's arguments that may hold rows."""

from __future__ import annotations

from typing import Any

from cereal_methods.serializers.objects import objects_in

from ..values import Box


def test_objects_are_found_in_lists_tuples_and_dicts_in_their_order() -> None:
    first, second, third = Box(1), Box(2), Box(3)

    objects = objects_in([[first], (1, {"a": second})], {"b": [third, "text"]}, [])

    assert objects == [first, second, third]


def test_rows_are_not_objects() -> None:
    row, box = Box("a row"), Box(1)

    assert objects_in([row, [box, row]], {}, [row]) == [box]


def test_a_set_of_plain_values_has_no_objects() -> None:
    assert objects_in([{1, 2}, frozenset({"a"})], {}, []) == []


def test_a_value_with_objects_in_a_set_is_one_object() -> None:
    value = [{Box(1)}, Box(2)]

    assert objects_in([value, 1], {}, []) == [value]


def test_a_value_with_objects_as_keys_is_one_object() -> None:
    value = {Box(1): 2}

    assert objects_in([], {"a": value}, []) == [value]


def test_a_value_that_contains_itself_is_one_object() -> None:
    value: list[Any] = []
    value.append(value)

    (member,) = objects_in([value], {}, [])

    assert member is value
