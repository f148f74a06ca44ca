"""Rows by a name: of a manager, or of a manager's method."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from cereal_methods import model_task
from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.sending.named_rows import rows_named
from tests.shop.models import Customer, Document, Order

pytestmark = pytest.mark.django_db


def names(rows: Any) -> list[str]:
    """Return what documents are called, in order."""
    return sorted(row.title for row in rows)


@pytest.fixture
def documents() -> None:
    """Three documents, two of them drafts."""
    Document.objects.bulk_create([Document(title=title) for title in ("draft", "draft", "done")])


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("drafts", ["draft", "draft"]),
        ("objects.drafts", ["draft", "draft"]),
        ("objects", ["done", "draft", "draft"]),
        ("all", ["done", "draft", "draft"]),
        ("objects.all", ["done", "draft", "draft"]),
    ],
)
def test_rows_have_names(documents: None, name: str, numbers: list[str]) -> None:
    assert names(rows_named(Document, name)) == numbers


def test_a_manager_is_a_name_of_rows() -> None:
    paid = Order.objects.create(status="paid")
    Order.objects.create()

    assert [row.pk for row in rows_named(Order, "paid")] == [paid.pk]


WRONG = {
    "draft": (
        "shop.Document has no rows 'draft': neither a manager nor a method of its default manager "
        "has that name. Did you mean 'drafts'?"
    ),
    "qqq": (
        "shop.Document has no rows 'qqq': neither a manager nor a method of its default manager "
        "has that name. There are objects, clear, drafts, titled, titles."
    ),
    "titled": "it needs arguments, which a name cannot give",
    "clear": "it changes rows (alters_data)",
    "create": "it is one of Django's own methods, which take arguments or change rows",
    "delete": "shop.Document has no rows 'delete'",
    "objects.count": "it is one of Django's own methods, which take arguments or change rows",
    "_insert": "it is not a method that returns a queryset",
    "model": "it is not a method that returns a queryset",
    "drafts.drafts": "shop.Document has no rows 'drafts.drafts'",
    "objects.drafts.all": "shop.Document has no rows 'objects.drafts.all'",
    "": "shop.Document has no rows ''",
    "titles": (
        "The rows 'titles' of shop.Document are not a queryset of it but a list. Return "
        "self.filter(...) there, or the like."
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_names_of_other_things_are_refused(name: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(name == "titles"), pytest.raises(InvalidModelTask) as caught:
        rows_named(Document, name)

    assert WRONG[name] in str(caught.value)


def test_a_method_task_of_a_manager_is_not_a_name_of_rows() -> None:
    with pytest.raises(InvalidModelTask, match="it is not a method that returns a queryset"):
        rows_named(Order, "paid.count_all")


def test_a_custom_default_manager_gives_the_names(new_models: None) -> None:
    class Manager(models.Manager["Named"]):
        def some(self) -> models.QuerySet[Any]:
            return self.filter(pk=1)

    class Named(models.Model):
        rows = Manager()

        class Meta:
            app_label = "shop"

        @model_task
        def go(self) -> None: ...

    assert rows_named(Named, "some").query.where
    assert rows_named(Named, "rows.some").query.where
    assert Named.go.bulk_s("some").args == (Named.go.name, "some")


def test_rows_of_another_model_are_refused(new_models: None) -> None:
    class Manager(models.Manager[Any]):
        def customers(self) -> models.QuerySet[Customer]:
            return Customer.objects.all()

    class Other(models.Model):
        objects = Manager()

        class Meta:
            app_label = "shop"

    with pytest.raises(InvalidModelTask, match="are not a queryset of it but a QuerySet"):
        rows_named(Other, "customers")


def test_a_method_whose_signature_is_unknown_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(function: Any) -> Any:
        raise ValueError("no signature found for builtin")

    monkeypatch.setattr("cereal_methods.sending.named_rows.inspect.signature", unknown)

    assert rows_named(Document, "drafts").query.where
