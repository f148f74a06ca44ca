"""How rows are fetched, as a task's options say; tests/worker locks them in databases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError

from cereal_methods.exceptions import InvalidModelTask, RowLocked
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running import locking
from cereal_methods.running.policy import RowPolicy
from tests.shop.models import Customer, Gift, Line, Order


def policy(**options: Any) -> RowPolicy:
    return RowPolicy.from_options(options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RowPolicy()),
        ({"select_related": "customer"}, RowPolicy(select_related=("customer",))),
        ({"select_related": ["customer"]}, RowPolicy(select_related=("customer",))),
        ({"select_related": True}, RowPolicy(select_related=True)),
        ({"prefetch_related": "lines"}, RowPolicy(prefetch_related=("lines",))),
        ({"prefetch_related": ["lines"]}, RowPolicy(prefetch_related=("lines",))),
        ({"select_for_update": True}, RowPolicy(select_for_update={})),
        ({"select_for_update": False}, RowPolicy()),
        ({"select_for_update": {"of": ()}}, RowPolicy(select_for_update={"of": ()})),
        ({"on_missing": print}, RowPolicy(on_missing=print)),
    ],
)
def test_options_are_normalized(options: dict[str, Any], expected: RowPolicy) -> None:
    assert policy(**options) == expected


def test_a_policy_takes_its_options_and_leaves_the_others() -> None:
    options = {"manager": "objects", "queue": "slow"}

    assert RowPolicy.from_options(options) == RowPolicy(manager="objects")
    assert options == {"queue": "slow"}


def connection(*features: str) -> Any:
    """Return a connection to a database that has only some features."""
    names = ("", "_nowait", "_skip_locked", "_of")
    has = {f"has_select_for_update{name}": name in features for name in names}
    return SimpleNamespace(features=SimpleNamespace(**has), display_name="SQLite")


@pytest.mark.parametrize(
    ("lock", "features", "missing"),
    [
        (None, [], None),
        (True, [], "select_for_update"),
        (True, [""], None),
        ({"skip_locked": True}, ["", "_nowait"], "select_for_update with skip_locked"),
        ({"skip_locked": True}, ["", "_skip_locked"], None),
    ],
)
def test_a_database_may_lack_the_feature_of_a_lock(
    lock: Any, features: list[str], missing: str | None
) -> None:
    assert policy(select_for_update=lock).missing_lock_feature(connection(*features)) == missing


def test_a_task_for_a_row_that_cannot_be_locked_is_refused() -> None:
    reference = ModelReference("shop.Order", 5, "default")
    policy().check_dispatch(reference, "shop.ship")
    databases = {"default": connection()}

    with (
        mock.patch("cereal_methods.running.policy.connections", databases),
        pytest.raises(InvalidModelTask) as caught,
    ):
        policy(select_for_update=True).check_dispatch(reference, "shop.ship")

    assert str(caught.value) == (
        "shop.ship cannot be sent for <shop.Order 5>: its database 'default' (SQLite) has no "
        "select_for_update. Use another database, or take the option away."
    )
    databases["default"] = connection("")
    with mock.patch("cereal_methods.running.policy.connections", databases):
        policy(select_for_update=True).check_dispatch(reference, "shop.ship")


@pytest.mark.django_db
def test_related_rows_are_fetched_with_a_row(django_assert_num_queries: Any) -> None:
    order = Order.objects.create(customer=Customer.objects.create(name="Ann"))
    Line.objects.create(order=order, position=1)
    options = {"select_related": "customer", "prefetch_related": "line_set", "manager": "objects"}

    with django_assert_num_queries(2):
        (row,) = policy(**options).fetch([ModelReference.of(order)])
        assert (row.customer.name, len(row.line_set.all())) == ("Ann", 1)


@pytest.mark.filterwarnings("ignore:Calling select_related")  # deprecated in Django 6.1
@pytest.mark.django_db
def test_all_related_rows_can_be_selected(django_assert_num_queries: Any) -> None:
    line = Line.objects.create(order=Order.objects.create(), position=1)

    with django_assert_num_queries(1):
        (row,) = policy(select_related=True).fetch([ModelReference.of(line)])
        assert row.order.pk == line.order_id


@pytest.mark.django_db
def test_a_manager_that_a_model_does_not_have_is_an_error() -> None:
    reference = ModelReference.of(Order.objects.create())

    with pytest.raises(InvalidModelTask) as caught:
        policy(manager="archived").fetch([reference])

    assert str(caught.value).startswith(
        "Rows of shop.Order are to be fetched by the manager 'archived', which it does not have. "
    )


@pytest.mark.django_db
def test_rows_are_locked_in_one_order() -> None:
    orders = [Order.objects.create(), Order.objects.create()]
    keys = [order.pk for order in orders]

    with mock.patch.object(locking.queries, "rows_by_key", return_value={}) as fetch:
        policy(select_for_update={"batch": True})._query(Order, "default", keys)
        policy(select_for_update=True)._query(Order, "default", keys[:1])

    several, one = (call.args[0].query for call in fetch.call_args_list)
    assert (several.select_for_update, several.order_by) == (True, ("pk",))
    assert (one.select_for_update, one.order_by) == (True, ())


@pytest.mark.django_db
@pytest.mark.parametrize(("has_of", "of"), [(False, ()), (True, ("self", "order_ptr"))])
def test_only_the_row_itself_is_locked_where_others_are_joined(
    has_of: bool, of: tuple[str, ...]
) -> None:
    with (
        mock.patch.object(locking.queries, "rows_by_key", return_value={}) as fetch,
        mock.patch.object(locking, "has_feature", return_value=has_of),
    ):
        policy(select_for_update=True, select_related="customer")._query(Gift, "default", [1])

    query = fetch.call_args.args[0].query
    assert query.select_for_update_of[: len(of)] == of
    assert bool(query.select_for_update_of) == has_of


def locked(sqlstate: str) -> DatabaseError:
    error, error.__cause__ = DatabaseError("no"), Exception()
    vars(error.__cause__).update(sqlstate=sqlstate)
    return error


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sqlstate", "kind"), [("55P03", RowLocked), ("42601", DatabaseError)], ids=str
)
def test_with_nowait_a_held_lock_raises_row_locked(sqlstate: str, kind: type[Exception]) -> None:
    with (
        mock.patch.object(locking.queries, "rows_by_key", side_effect=locked(sqlstate)),
        pytest.raises(kind) as caught,
    ):
        policy(select_for_update={"nowait": True})._query(Order, "default", [5])

    assert type(caught.value) is kind


@pytest.mark.django_db
def test_with_skip_locked_a_skipped_row_is_locked_or_missing() -> None:
    order = Order.objects.create()
    skips = policy(select_for_update={"skip_locked": True})

    assert list(skips._query(Order, "default", [order.pk])) == [order.pk]
    with mock.patch.object(locking.queries, "rows_by_key", return_value={}):
        assert skips._query(Order, "default", [order.pk + 1]) == {}
        with pytest.raises(RowLocked) as caught:
            skips._query(Order, "default", [order.pk])

    assert str(caught.value) == f"<shop.Order {order.pk}> is locked by another transaction."
