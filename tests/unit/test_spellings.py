"""Rows whose keys the database spells in another way than their messages do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models

from cereal_methods.hydration import rows_of
from cereal_methods.references import QuerySetReference, written_to
from tests.shop.models import Document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def word(new_models: None) -> Iterator[Any]:
    """A model whose keys the database compares without regard to case."""

    class Word(models.Model):
        text = models.CharField(primary_key=True, max_length=20, db_collation="NOCASE")

        class Meta:
            app_label = "shop"

    with connection.schema_editor() as editor:
        editor.create_model(Word)
    yield Word
    with connection.schema_editor() as editor:
        editor.delete_model(Word)


@pytest.mark.parametrize("many", [1, 2, 3, 25])
def test_each_row_is_found_whatever_its_case(
    word: Any, many: int, django_assert_num_queries: Any
) -> None:
    word.objects.bulk_create(word(text=f"WORD {place}") for place in range(many))
    keys = [f"word {place}" for place in range(many)]

    with django_assert_num_queries(1):
        rows = rows_of(word.objects.all(), keys)

    assert [rows[key].pk for key in keys] == [f"WORD {place}" for place in range(many)]


def test_two_spellings_of_one_row_both_find_it(word: Any) -> None:
    word.objects.create(text="One")

    rows = rows_of(word.objects.all(), ["ONE", "One", "two"])

    assert {key: row.pk for key, row in rows.items()} == {"ONE": "One", "One": "One"}


def test_missing_keys_cost_no_further_query(word: Any, django_assert_num_queries: Any) -> None:
    word.objects.create(text="one")

    with django_assert_num_queries(1):
        assert rows_of(word.objects.all(), ["one", "two", "three"]).keys() == {"one"}


def test_keys_of_before_a_migration_to_uuids_find_their_rows() -> None:
    found = [Document.objects.create() for _ in range(3)]
    keys = [str(row.pk) for row in found]

    rows = rows_of(Document.objects.all(), keys)

    assert [rows[key].pk for key in keys] == [row.pk for row in found]


def test_a_model_may_look_at_its_fields_as_instances_are_made(new_models: None) -> None:
    class Curious(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "shop"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.before = self.name

        @classmethod
        def from_db(cls, db: Any, field_names: Any, values: Any) -> Any:
            found = super().from_db(db, field_names, values)
            assert found.name is not None
            return found

    queryset: Any = Curious.objects.none()

    assert written_to(Curious, "archive") == "archive"
    assert QuerySetReference.of(queryset).using == "default"
