"""Rows whose keys the database spells differently from their messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models

from cereal_methods.rows import queries
from cereal_methods.rows.queries import rows_by_key
from tests.shop.models import Country, Document, Line, Order

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
        rows = rows_by_key(word.objects.all(), keys)

    assert [rows[key].pk for key in keys] == [f"WORD {place}" for place in range(many)]


def test_two_spellings_of_one_key_both_match_its_row(word: Any) -> None:
    word.objects.create(text="One")

    rows = rows_by_key(word.objects.all(), ["ONE", "One", "two"])

    assert {key: row.pk for key, row in rows.items()} == {"ONE": "One", "One": "One"}


def test_missing_keys_cost_no_further_query(word: Any, django_assert_num_queries: Any) -> None:
    word.objects.create(text="one")

    with django_assert_num_queries(1):
        assert rows_by_key(word.objects.all(), ["one", "two", "three"]).keys() == {"one"}


def test_keys_from_before_a_migration_to_uuids_match_their_rows() -> None:
    documents = [Document.objects.create() for _ in range(3)]
    keys = [str(row.pk) for row in documents]

    rows = rows_by_key(Document.objects.all(), keys)

    assert [rows[key].pk for key in keys] == [row.pk for row in documents]


def test_another_row_of_the_same_letters_is_looked_up(new_models: None) -> None:
    """Where the database does not ignore case, as it does not by default."""
    Country.objects.create(code="NL")

    assert rows_by_key(Country.objects.all(), ["NL", "nl"]).keys() == {"NL"}


def test_rows_that_the_database_matches_by_a_rule_of_its_own_are_looked_up(
    word: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_folded", lambda key: key)
    word.objects.create(text="One")

    rows = rows_by_key(word.objects.all(), ["ONE", "two"])

    assert rows["ONE"].pk == "One"
    assert "two" not in rows


def test_more_keys_than_one_query_takes_are_sorted_and_split(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(queries, "MAX_PARAMETERS", 2)
    for code in "abcde":
        Country.objects.create(code=code)

    with django_assert_num_queries(3) as captured:
        rows = rows_by_key(Country.objects.all(), ["e", "d", "c", "b", "a"])

    assert list(rows) == ["a", "b", "c", "d", "e"]
    assert "'a', 'b'" in captured.captured_queries[0]["sql"]


def test_a_composite_key_is_folded_by_its_parts() -> None:
    order = Order.objects.create()
    Line.objects.create(order=order, position=1)

    assert rows_by_key(Line.objects.all(), [(order.pk, 1), (order.pk, 2)]).keys() == {(order.pk, 1)}


def test_queries_have_no_order_by(django_assert_num_queries: Any) -> None:
    Country.objects.create(code="nl")

    with django_assert_num_queries(1) as captured:
        assert rows_by_key(Country.objects.order_by("code"), ["nl"]).keys() == {"nl"}

    assert "ORDER BY" not in captured.captured_queries[0]["sql"]


def test_wrappers_are_put_around_each_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def wrapper(execute: Any, sql: str, *args: Any) -> Any:
        made.append(sql)
        return execute(sql, *args)

    monkeypatch.setattr(queries, "wrappers", [wrapper])
    Country.objects.create(code="nl")

    rows_by_key(Country.objects.all(), ["nl"])

    assert len(made) == 1
    assert made[0].startswith("SELECT")
