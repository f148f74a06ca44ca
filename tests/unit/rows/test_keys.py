"""Primary keys as references hold them."""

from __future__ import annotations

import decimal
import enum
import uuid
from typing import Any

import pytest
from django.db import models

from cereal_methods.exceptions import UnsupportedKey
from cereal_methods.rows.key_types import takes_integers
from cereal_methods.rows.keys import clean_key
from tests.shop.models import Order


class Level(enum.IntEnum):
    """A key that is an integer and more."""

    HIGH = 5


class Code:
    """A key that a field stores in another type."""

    def __init__(self, stored: Any) -> None:
        self.stored = stored


class CustomField(models.Field):  # type: ignore[type-arg]
    """A field with keys of its own types."""

    def to_python(self, value: Any) -> Any:
        """Return the value as it is."""
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return what is stored."""
        return value.stored if isinstance(value, Code) else value


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (Level.HIGH, 5),
        (Code("nl"), "nl"),
        (Code(5), 5),
        (Code(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (Code(decimal.Decimal("1.5")), decimal.Decimal("1.5")),
    ],
)
def test_a_key_of_a_custom_field_is_what_it_stores(value: Any, key: Any) -> None:
    cleaned = clean_key(CustomField(), value)

    assert cleaned == key
    assert type(cleaned) is type(key)


@pytest.mark.parametrize("value", [True, Code(True), Code(1.5)])
def test_a_custom_key_of_another_type_is_refused(value: Any) -> None:
    field = CustomField()
    field.model = Order

    with pytest.raises(UnsupportedKey, match=r"^The primary key of shop\.Order is a "):
        clean_key(field, value)


def test_the_type_of_a_custom_field_is_not_checked() -> None:
    assert not takes_integers(CustomField())
    assert takes_integers(Order._meta.pk)
