"""What every serializer does with the body of a call."""

from __future__ import annotations

import datetime
import json
import pickle
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject
from kombu.serialization import registry
from kombu.utils.json import dumps as kombu_json

from cereal_methods import ModelReference
from cereal_methods.exceptions import (
    SerializerNotAccepted,
    UnsavedInstance,
    UnsupportedValue,
)
from tests.shop.models import (
    Country,
    Customer,
    Day,
    Document,
    Gift,
    Instant,
    Line,
    Order,
    PaidOrder,
    Price,
)

from .bodies import NAMES, NO_EMBED, call_body, decode, encode, refusal, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each serializer in turn."""
    found: str = request.param
    return found


def rows_of_every_key() -> list[Any]:
    """Return a row of each model, read back as a task's caller would have it."""
    noon = datetime.datetime(2026, 2, 28, 12, tzinfo=datetime.timezone.utc)
    order = Order.objects.create()
    made = [
        order,
        Document.objects.create(),
        Country.objects.create(code="nl"),
        Day.objects.create(date=datetime.date(2026, 2, 28)),
        Instant.objects.create(at=noon),
        Price.objects.create(amount="9.90"),
        Line.objects.create(order=order, position=2),
        Gift.objects.create(),
        PaidOrder.objects.get(pk=order.pk),
        Order.objects.only("id").get(pk=order.pk),
        Order.objects.using("archive").create(),
    ]
    return [row.__class__._base_manager.using(row._state.db).get(pk=row.pk) for row in made]


def test_a_row_of_every_kind_of_key_arrives_as_itself(name: str) -> None:
    rows = rows_of_every_key()

    args, kwargs, _ = trip(name, rows)
    found, _ = unpack(args, kwargs)

    assert list(found) == rows
    assert [type(row) for row in found] == [type(row) for row in rows]
    assert [row._state.db for row in found] == ["default"] * 10 + ["archive"]


def test_decoding_runs_no_query_and_unpacking_one_for_each_model(
    name: str, django_assert_num_queries: Any
) -> None:
    order, customer = Order.objects.create(), Customer.objects.create(name="Ada")
    payload = encode(call_body([order, customer], {"other": order}), name)

    with django_assert_num_queries(0):
        args, kwargs, _ = decode(payload, name)
    with django_assert_num_queries(2):
        found, named = unpack(args, kwargs)

    assert found == (order, customer)
    assert named == {"other": order}


def test_encoding_runs_no_query(name: str, django_assert_num_queries: Any) -> None:
    order = Order.objects.only("id").get(pk=Order.objects.create().pk)

    with django_assert_num_queries(0):
        encode(call_body([order]), name)


def test_one_row_arrives_as_one_object_in_args_and_kwargs(name: str) -> None:
    order, same = Order.objects.create(), Order.objects.get()

    args, kwargs, _ = trip(name, [order, [same]], {"other": {"order": order}})
    (one, (two,)), named = unpack(args, kwargs)

    assert one is two is named["other"]["order"]
    assert one is not order


def test_one_row_is_written_once(name: str) -> None:
    payload = encode(call_body([stored(Order, pk=5)] * 3), name)

    text = payload if isinstance(payload, str) else payload.decode("latin-1")
    assert text.count("shop.Order") == 1


def test_two_hundred_orders_and_fifty_customers_cost_two_queries(
    name: str, django_assert_num_queries: Any
) -> None:
    orders = Order.objects.bulk_create(Order(number=str(number)) for number in range(200))
    customers = Customer.objects.bulk_create(Customer(name="Ada") for _ in range(50))
    pages = {
        "pages": [[{"order": order} for order in orders[at : at + 20]] for at in range(0, 200, 20)],
        "customers": {str(number): [customer] for number, customer in enumerate(customers)},
    }

    args, kwargs, _ = trip(name, [pages], {"again": orders})
    with django_assert_num_queries(2):
        (found,), named = unpack(args, kwargs)

    assert found == pages
    assert named == {"again": orders}
    assert found["pages"][3][7]["order"] is named["again"][67]


def test_arguments_without_instances_cost_no_query(
    name: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        args, kwargs, embed = trip(name, ["dhl", 1, None, 1.5, True], {"deep": [{"a": [1]}]})
        found = unpack(args, kwargs)

    assert found == (("dhl", 1, None, 1.5, True), {"deep": [{"a": [1]}]})
    assert embed == NO_EMBED


def test_the_order_of_keywords_and_of_keys_is_kept(name: str) -> None:
    args, kwargs, _ = trip(name, [{"b": 1, "a": 2}], {"d": 3, "c": 4})

    (found,), named = unpack(args, kwargs)

    if name == "cereal-yaml":  # which sorts keys, as kombu's yaml does
        assert (list(found), list(named)) == (["a", "b"], ["c", "d"])
    else:
        assert (list(found), list(named)) == (["b", "a"], ["d", "c"])


def test_text_of_any_language_arrives_as_it_was(name: str) -> None:
    text = "Ω ünï\n\u2028 \N{PILE OF POO} \x7f \\ \" '"
    order = Order.objects.create()

    args, kwargs, _ = trip(name, [text, order], {"größe": text})

    assert unpack(args, kwargs) == ((text, order), {"größe": text})


def test_a_lazy_proxy_of_an_instance_arrives_as_the_instance(name: str) -> None:
    customer = Customer.objects.create(name="Ada")
    user = SimpleLazyObject(lambda: Customer.objects.get())

    args, kwargs, _ = trip(name, [user])
    (found,), _ = unpack(args, kwargs)

    assert type(found) is Customer
    assert found == customer


def test_a_row_read_from_a_replica_arrives_from_its_primary(name: str) -> None:
    order = Order.objects.create()
    order._state.db = "replica"

    args, kwargs, _ = trip(name, [order])
    (found,), _ = unpack(args, kwargs)

    assert found._state.db == "default"


def test_a_reference_as_an_argument_arrives_as_the_instance(name: str) -> None:
    order = Order.objects.create()

    args, kwargs, _ = trip(name, [ModelReference.of(order)])

    assert unpack(args, kwargs) == ((order,), {})


def test_keywords_that_came_are_sent_again_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order, this = stored(Order, pk=5), stored(Customer, pk=7)
    _, kwargs, embed = trip(name, [], {"this": this, "by": {"id": order}}, chain=[order])

    with django_assert_num_queries(0):
        _, again, _ = decode(encode(((), kwargs, dict(embed)), name), name)

    assert again.plainly(references=True) == {
        "this": ModelReference.of(this),
        "by": {"id": ModelReference.of(order)},
    }


def test_arguments_that_came_are_arguments_of_another_call_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5)
    args, kwargs, embed = trip(name, ["dhl", order], {"this": order}, chain=[order])

    with django_assert_num_queries(0):
        found, named, _ = trip(name, [args], {"kwargs": kwargs, "embed": embed})

    reference = ModelReference.of(order)
    assert [list(value) for value in found.plainly(references=True)] == [["dhl", reference]]
    assert named.plainly(references=True) == {
        "kwargs": {"this": reference},
        "embed": {"callbacks": None, "errbacks": None, "chain": [reference], "chord": None},
    }


def test_self_in_its_plain_form_arrives_as_the_instance(name: str) -> None:
    order = Order.objects.create()
    this = ModelReference.of(order).as_plain()

    args, kwargs, _ = trip(name, ["dhl"], {"this": this, "express": True})

    assert unpack(args, kwargs) == (("dhl",), {"this": order, "express": True})


def test_an_unsaved_instance_is_refused(name: str) -> None:
    error = refusal(call_body([{"orders": [Order()]}]), name)

    assert str(error) == (
        "This shop.Order has no row in the database: it was never saved, or it was deleted. Only "
        "saved instances can be passed to a task; save it first."
    )
    assert type(error) is UnsavedInstance


class Unknown:
    """A value that no format carries."""

    def __reduce__(self) -> Any:
        raise TypeError("it is a secret")


@pytest.mark.parametrize(
    ("name", "message", "about"),
    [
        (
            "cereal-pickle",
            "cereal-pickle cannot carry this value: it is a secret. Pass what it is made from.",
            None,
        ),
        (
            "cereal-json",
            "cereal-json cannot carry this value: Object of type Unknown is not JSON serializable."
            " Convert it, or send the task with serializer='cereal-pickle'.",
            None,
        ),
        (
            "cereal-yaml",
            "cereal-yaml cannot carry a value of type Unknown. Convert it, or send the task with "
            "serializer='cereal-pickle'.",
            Unknown,
        ),
        (
            "cereal-msgpack",
            "cereal-msgpack cannot carry a value of type Unknown. Convert it, or send the task "
            "with serializer='cereal-pickle'.",
            Unknown,
        ),
    ],
)
def test_a_value_that_the_format_cannot_carry_is_refused(
    name: str, message: str, about: Any
) -> None:
    error = refusal(call_body([{"values": [Unknown()]}]), name)

    assert str(error) == message
    assert type(error) is UnsupportedValue
    assert error.about is about


def test_a_local_function_is_refused_by_pickle() -> None:
    error = refusal(call_body([lambda: None]), "cereal-pickle")

    assert type(error) is UnsupportedValue
    assert str(error).startswith("cereal-pickle cannot carry this value: ")
    assert "lambda" in str(error)
    assert str(error).endswith(". Pass what it is made from.")


def test_a_number_too_large_for_msgpack_is_refused() -> None:
    error = refusal(call_body([2**64]), "cereal-msgpack")

    assert str(error) == (
        "cereal-msgpack cannot carry a value of type int. Convert it, or send the task with "
        "serializer='cereal-pickle'."
    )


@pytest.mark.parametrize("name", ["cereal-json", "cereal-msgpack"])
def test_data_that_contains_itself_is_refused(name: str) -> None:
    data: list[Any] = [stored(Order, pk=5)]
    data.append(data)

    error = refusal(call_body([data]), name)

    assert type(error) is UnsupportedValue
    reasons = {
        "cereal-json": "this value: Circular reference detected. Convert it, or send the task with "
        "serializer='cereal-pickle'.",
        "cereal-msgpack": "data that is nested this deeply, or that contains itself.",
    }
    assert str(error) == f"{name} cannot carry {reasons[name]}"


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-yaml"])
def test_data_that_contains_itself_arrives_so(name: str) -> None:
    order = Order.objects.create()
    data: list[Any] = [order]
    data.append(data)

    args, kwargs, _ = trip(name, [data])
    (found,), _ = unpack(args, kwargs)

    assert found[0] == order
    assert found[1] is found


def test_data_nested_too_deeply_is_refused(name: str) -> None:
    data: list[Any] = [stored(Order, pk=5)]
    for _ in range(100_000):
        data = [data]

    error = refusal(call_body([data]), name)

    assert type(error) is UnsupportedValue
    expected = {
        "django_cereal_pickle": "cereal-pickle cannot carry data that is nested this deeply, or "
        "that contains itself.",
    }
    assert str(error) == expected.get(
        name, f"{name} cannot carry data that is nested this deeply, or that contains itself."
    )


def test_a_serializer_that_no_worker_accepts_is_refused(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]

    with pytest.raises(SerializerNotAccepted) as caught:
        encode(call_body([1]), name)

    assert caught.value.about == name
    assert str(caught.value) == (
        f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
        f"settings: CELERY_ACCEPT_CONTENT = ['json', {name!r}]"
    )


def test_a_content_type_is_accepted_as_well(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = [registry.name_to_type[name]]

    encode(call_body([1]), name)


def test_a_result_needs_not_be_accepted_here(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]

    assert decode(encode({"status": "SUCCESS", "result": 1}, name), name)["result"] == 1


def test_protocol_1_is_refused(name: str) -> None:
    body = {"task": "shop.ship", "id": "1", "args": [stored(Order, pk=5)], "kwargs": {}}

    error = refusal(body, name)

    assert str(error) == (
        "Message protocol 1 cannot be sent with a cereal serializer. Remove CELERY_TASK_PROTOCOL "
        "from the settings: protocol 2 is Celery's default."
    )


def test_the_containers_are_json_for_inspection_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order, customer = stored(Order, pk=5), stored(Customer, pk=7)
    args, kwargs, _ = trip(name, ["dhl", [order]], {"this": order, "by": {"id": customer}})

    with django_assert_num_queries(0):
        text = kombu_json({"args": args, "kwargs": kwargs})

    assert json.loads(text) == {
        "args": ["dhl", [{"cereal_methods.reference": ["shop.Order", 5, "default"]}]],
        "kwargs": {
            "this": {"cereal_methods.reference": ["shop.Order", 5, "default"]},
            "by": {"id": {"cereal_methods.reference": ["shop.Customer", 7, "default"]}},
        },
    }


def test_the_containers_show_their_references_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5, city="Secretville")
    args, kwargs, embed = trip(name, ["dhl", order], {"other": order}, callbacks=[order])

    with django_assert_num_queries(0):
        shown = repr((args, kwargs, embed))

    assert shown == "(('dhl', '<shop.Order 5>'), {'other': '<shop.Order 5>'}, <LazyEmbed>)"


def test_the_containers_pickle_small_and_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5)
    body = trip(name, ["dhl", order], {"other": order})

    with django_assert_num_queries(0):
        piped = pickle.dumps(body)
        args, kwargs, embed = pickle.loads(piped)

    assert len(piped) < 600
    reference = ModelReference.of(order)
    assert list(args.plainly(references=True)) == ["dhl", reference]
    assert kwargs.plainly(references=True) == {"other": reference}
    assert args.call is kwargs.call
    assert embed == NO_EMBED


def test_the_containers_that_came_through_a_pipe_fetch(
    name: str, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create()
    args, kwargs, _ = pickle.loads(pickle.dumps(trip(name, [order], {"other": [order]})))

    with django_assert_num_queries(1):
        (found,), named = unpack(args, kwargs)

    assert found == order
    assert named["other"][0] is found


def test_the_containers_are_small_after_they_have_fetched_too(name: str) -> None:
    args, kwargs, _ = trip(name, [Order.objects.create()])
    before = len(pickle.dumps((args, kwargs)))
    unpack(args, kwargs)

    assert len(pickle.dumps((args, kwargs))) == before
