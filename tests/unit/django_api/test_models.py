"""What ``django_api.models`` relies on, asked of the Django that is installed."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.core.exceptions import EmptyResultSet, FieldError
from django.db import connection, models
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.signals import class_prepared
from django.test.utils import CaptureQueriesContext

from cereal_methods.django_api import models as api
from tests.shop.models import Customer, Order
from tests.unit.contracts import untested


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


# Models.


def test_is_set_up_from_the_beginning_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Any = Apps(installed_apps=())
    registry.apps_ready = registry.models_ready = registry.loading = registry.ready = False
    seen: list[bool] = []

    class Config(AppConfig):
        label = "contract"

        def import_models(self) -> None:
            seen.append(api.is_set_up())

    monkeypatch.setattr(api, "apps", registry)
    seen.append(api.is_set_up())
    registry.populate([Config("tests.unit.django_api", sys.modules["tests.unit.django_api"])])
    seen.append(api.is_set_up())

    assert seen == [False, True, True]


def test_registered_model_exists_before_all_models_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "models_ready", False)

    assert api.registered_model("shop.Order") is Order
    assert api.registered_model("shop.order") is Order
    assert api.registered_model("shop.Nothing") is None
    assert api.registered_model("nowhere.Order") is None
    assert api.registered_model("Order") is None


def test_is_installed_is_false_of_a_migration_s_model() -> None:
    prepared: list[Any] = []
    state = ProjectState()
    state.add_model(ModelState("shop", "Historical", [("id", models.AutoField(primary_key=True))]))

    def note(sender: Any, **_: Any) -> None:
        prepared.append(sender)

    class_prepared.connect(note)
    historical = state.apps.get_model("shop", "Historical")
    class_prepared.disconnect(note)

    assert historical.__name__ in {model.__name__ for model in prepared}
    assert not api.is_installed(historical)
    assert api.is_installed(Order)


def test_managers_of_includes_inherited_managers() -> None:
    managers = api.managers_of(Order)

    assert managers["paid"] == Order.paid
    assert managers["objects"] == Order.objects


def test_manager_name_is_that_of_a_model_s_own_manager(new_models: None) -> None:
    customer = Customer(pk=1)

    assert api.manager_name(Order.paid) == "paid"
    assert api.manager_name(Order.objects) == "objects"
    assert api.manager_name(Order.objects.db_manager("default")) is None
    assert api.manager_name(customer.order_set) is None
    assert api.manager_name(models.Manager()) is None
    assert api.manager_name(copy.copy(Order.paid)) == "paid"  # which is equal to it


def family() -> tuple[Any, Any, Any]:
    """Return a model, one that inherits from it with a table of its own, and a proxy of that."""

    class Parent(models.Model):
        class Meta:
            app_label = "shop"

    class Child(Parent):
        class Meta:
            app_label = "shop"

    class Proxy(Child):
        class Meta:
            app_label = "shop"
            proxy = True

    return Parent, Child, Proxy


def test_concrete_model_decides_which_rows_are_equal(new_models: None) -> None:
    parent, child, proxy = family()

    assert api.concrete_model(proxy) is child is api.concrete_model(child)
    assert proxy(pk=1) == child(pk=1)
    assert parent(pk=1) != child(pk=1)
    assert api.concrete_model(proxy(pk=1)) is child
    assert api.concrete_model("a text") is None


def test_tables_of_are_those_that_an_update_of_a_row_writes(new_models: None) -> None:
    parent, child, proxy = family()

    assert api.tables_of(proxy) == api.tables_of(child) == {"shop_parent", "shop_child"}
    assert api.tables_of(parent) == {"shop_parent"}


def test_parent_links_are_what_of_takes(new_models: None) -> None:
    _, child, _ = family()

    class Grandchild(child):  # type: ignore[misc, valid-type]
        class Meta:
            app_label = "shop"

    assert list(api.parent_links(Grandchild)) == ["child_ptr", "child_ptr__parent_ptr"]
    assert list(api.parent_links(Order)) == []


def relations() -> tuple[Any, Any]:
    """Return two models with relations of several kinds between them."""

    class Left(models.Model):
        many = models.ManyToManyField("Right")

        class Meta:
            app_label = "shop"

    class Right(models.Model):
        one = models.OneToOneField(Left, models.CASCADE, related_name="the_right", null=True)
        to_left = models.ForeignKey(Left, models.CASCADE, related_name="rights")

        class Meta:
            app_label = "shop"

    return Left, Right


def test_selectable_relations_are_those_that_select_related_takes(new_models: None) -> None:
    left, right = relations()

    assert api.selectable_relations(left) == {"the_right": right}
    assert api.selectable_relations(right) == {"one": left, "to_left": left}
    for model in (left, right):
        for name in api.selectable_relations(model):
            str(model.objects.select_related(name).query)
        with pytest.raises(FieldError):
            str(model.objects.select_related("many").query)


def test_prefetchable_relations_are_attributes(new_models: None) -> None:
    left, right = relations()

    assert api.prefetchable_relations(left) == {"many": right, "the_right": right, "rights": right}
    assert api.prefetchable_relations(right) == {"one": left, "to_left": left, "left_set": left}
    for model in (left, right):
        assert all(hasattr(model, name) for name in api.prefetchable_relations(model))


PREFETCH = models.Prefetch("line_set__order", to_attr="found")


def test_prefetch_path_is_that_of_relations() -> None:
    assert api.prefetch_path(PREFETCH) == "line_set__order"
    assert api.prefetch_path("line_set") == "line_set"


def test_prefetch_target_ends_in_to_attr() -> None:
    assert api.prefetch_target(PREFETCH) == "line_set__found"
    assert api.prefetch_target("line_set") == "line_set"


def test_prefetch_attribute_is_to_attr() -> None:
    assert api.prefetch_attribute(PREFETCH) == "found"
    assert api.prefetch_attribute(models.Prefetch("line_set")) is None
    assert api.prefetch_attribute("line_set") is None


# Fields.


def test_column_field_is_the_end_of_a_chain_of_keys(new_models: None) -> None:
    _, child, _ = family()

    assert api.column_field(child._meta.pk).get_internal_type() == "BigAutoField"
    assert api.column_field(Order._meta.pk) is Order._meta.pk


def test_key_parts_of_a_composite_key_alone(new_models: None) -> None:
    class Pair(models.Model):
        pk = models.CompositePrimaryKey("a", "b")
        a = models.IntegerField()
        b = models.CharField(max_length=5)

        class Meta:
            app_label = "shop"

    parts: Any = api.key_parts(Pair._meta.pk)

    assert [part.attname for part in parts] == ["a", "b"]
    assert list(parts) == list(Pair._meta.pk_fields)
    assert api.key_parts(Order._meta.pk) is None


def test_cached_function_is_where_django_keeps_what_it_decorates() -> None:
    from django.utils.functional import cached_property

    assert getattr(cached_property(len), api.CACHED_FUNCTION) is len


# Instances.


@pytest.mark.django_db
def test_made_instance_is_one_that_was_read(new_models: None) -> None:
    row = Order.objects.create(number="5")
    with CaptureQueriesContext(connection) as queries:
        made = api.made_instance(Order, {"id": row.pk}, "default")
        assert (made.pk, made._state.db, made._state.adding) == (row.pk, "default", False)
        assert made == row
        assert queries.captured_queries == []
        assert made.number == "5"  # fetched now
    assert len(queries) == 1
    made.number = "6"
    made.save()
    assert Order.objects.get().number == "6"


def test_made_instance_calls_no_code_of_the_model(new_models: None) -> None:
    class Strict(models.Model):
        class Meta:
            app_label = "shop"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise AssertionError

        @classmethod
        def from_db(cls, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError

    made = api.made_instance(Strict, {"id": 5}, None, adding=True)

    assert (made.pk, made._state.db, made._state.adding) == (5, None, True)


@pytest.mark.django_db
def test_made_instance_may_have_the_values_of_another() -> None:
    Order.objects.create(customer=Customer.objects.create(name="x"))
    row = Order.objects.select_related("customer").get()
    values = {name: value for name, value in vars(row).items() if name != "_state"}
    made = api.made_instance(Order, values, row._state.db, adding=row._state.adding)

    assert {field.attname: getattr(made, field.attname) for field in Order._meta.fields} == {
        field.attname: getattr(row, field.attname) for field in Order._meta.fields
    }
    assert made._state is not row._state


def test_simplelazyobject_behaves_like_its_object() -> None:
    lazy: Any = api.SimpleLazyObject(lambda: Customer(pk=5))

    assert isinstance(lazy, Customer)
    assert lazy.pk == 5


def test_lazy_value_does_not_evaluate() -> None:
    asked: list[int] = []
    row = Customer(pk=5)
    lazy = api.SimpleLazyObject(lambda: asked.append(1) or row)

    assert (api.lazy_value(lazy), asked) == (None, [])
    assert lazy.pk == 5
    assert (api.lazy_value(lazy), asked) == (row, [1])


# Querysets.


def test_gives_instances_and_not_values() -> None:
    orders = Order.objects.all()

    assert api.gives_instances(orders)
    assert api.gives_instances(orders.only("pk").filter(pk=1)[:5])
    for other in (
        orders.values(), orders.values_list(), orders.values_list("pk", flat=True),
        orders.values_list("pk", named=True), orders.dates("placed_at", "day"),
    ):  # fmt: skip
        assert not api.gives_instances(other)


@pytest.mark.django_db
def test_was_evaluated_once_it_has_rows() -> None:
    orders = Order.objects.all()
    assert not api.was_evaluated(orders)

    list(orders)
    assert api.was_evaluated(orders)
    with CaptureQueriesContext(connection) as queries:
        list(orders)
    assert len(queries) == 0
    assert not api.was_evaluated(orders.all())


def test_may_be_ordered_without_another_order() -> None:
    orders = Order.objects.all()

    assert api.may_be_ordered(orders)
    assert api.may_be_ordered(orders.filter(customer__name="x"))
    for other in (
        orders.order_by("number"), orders[:5], orders[5:], orders.union(orders),
        orders.extra(order_by=["number"]), orders.distinct("number"),
    ):  # fmt: skip
        assert not api.may_be_ordered(other)


def test_may_repeat_rows_where_tables_are_joined() -> None:
    assert not api.may_repeat_rows(Order.objects.filter(number="5"))
    assert api.may_repeat_rows(Customer.objects.filter(order__number="5"))
    assert api.may_repeat_rows(Order.objects.union(Order.objects.all()))


@pytest.mark.django_db
def test_check_sql_finds_what_the_query_would_raise() -> None:
    with CaptureQueriesContext(connection) as queries:
        api.check_sql(Order.objects.filter(number="5"))
        with pytest.raises(EmptyResultSet):
            api.check_sql(Order.objects.filter(pk__in=[]))
    assert len(queries) == 0
