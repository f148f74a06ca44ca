"""What the demo shows, a step a function."""

import os
import uuid
from decimal import Decimal

from celery import chain
from celery.exceptions import TimeoutError as NotYet
from django.db import transaction
from kombu.serialization import dumps
from tqdm import tqdm

from cereal_methods import CEREAL_JSON, CEREAL_PICKLE
from shop.models import Customer, Order


def say(text, end="\n"):
    print(text, end=end, flush=True)


class Unexpected(Exception):
    """Something is not as the demo says."""


def check(fact, otherwise):
    """Go on if it is so."""
    if not fact:
        raise Unexpected(otherwise)


class Shop:
    """A customer with orders, and the results of the worker."""

    def __init__(self, worker, patience):
        self.worker = worker
        self.patience = patience
        self.run = uuid.uuid4().hex[:6]

    def __enter__(self):
        self.customer = Customer.objects.create(name="Ada", email="ada@example.com")
        self.count = 0
        return self

    def __exit__(self, *error):
        self.customer.delete()

    def order(self):
        return self.orders(1)[0]

    def orders(self, many):
        first = self.count + 1
        self.count += many
        orders = [
            Order(
                customer=self.customer,
                number=f"{self.run}-{number}",
                street="1 Long Street",
                city="Springfield",
                total=Decimal("42.50"),
            )
            for number in range(first, self.count + 1)
        ]
        with transaction.atomic():
            for order in orders:
                order.save()
        return orders

    def wait_for(self, result):
        """Return what a task returned, or raise what it raised."""
        for _ in range(self.patience):
            try:
                return result.get(timeout=1)
            except NotYet:
                check(self.worker.poll() is None, "The worker has ended.")
        raise Unexpected(f"No result after {self.patience} seconds.")


def a_method_on_the_worker(shop):
    """A method runs on the worker: order.ship.delay("dhl")"""
    order = shop.order()
    address = shop.wait_for(order.ship.delay("dhl"))
    order.refresh_from_db()
    (event,) = order.events.all()
    say(f"   It returned {address!r}, and the row says: {order.status} with {order.carrier}.")
    say(f"   Process {event.process} did it; this one is {os.getpid()}.")
    check(address == "1 Long Street, Springfield", f"The method returned {address!r}.")
    check((order.status, order.carrier) == ("shipped", "dhl"), "The row is not shipped.")
    check(event.process not in (os.getpid(), None), "The method ran in this process.")


def a_row_that_changes(shop):
    """A row changes after the task was sent; the worker sees the new values."""
    order = shop.order()
    result = order.ship.apply_async(["dhl"], countdown=2)
    Order.objects.filter(pk=order.pk).update(street="2 Short Street")
    say(f"   Sent from {order.street}; then the customer moved to 2 Short Street.")
    address = shop.wait_for(result)
    say(f"   The worker shipped to {address}.")
    check(address == "2 Short Street, Springfield", f"The order went to {address!r}.")


def a_chain_over_two_orders(shop):
    """A chain over two orders: chain(first.pack.s(), second.pack.s())"""
    first, second = shop.order(), shop.order()
    parcel = shop.wait_for(chain(first.pack.s(), second.pack.s()).delay())
    for order in (first, second):
        order.refresh_from_db()
        say(f"   Order {order.number} is {order.status} in parcel {order.parcel}.")
        check(order.parcel == parcel, f"Order {order.number} is not in parcel {parcel}.")


def a_transaction_that_fails(shop):
    """What is sent in a transaction is sent when it commits, or never."""
    order = shop.order()
    try:
        with transaction.atomic():
            never = order.ship.delay_on_commit("ups")
            raise ConnectionError("the payment service is down")
    except ConnectionError as error:
        say(f"   The transaction was rolled back, because {error}; nothing was sent.")
    with transaction.atomic():
        result = order.ship.delay_on_commit("dhl")
    shop.wait_for(result)
    order.refresh_from_db()
    say(f"   The next one committed, and the order was shipped with {order.carrier}.")
    check(order.events.count() == 1, "The order was shipped twice.")
    check(order.carrier == "dhl", f"The order was shipped with {order.carrier}.")
    check(never.state == "PENDING", "A task was sent that was rolled back.")


def a_row_that_is_gone(shop):
    """A row is deleted while its task waits: a clear failure, and no lost message."""
    order = shop.order()
    result = order.ship.apply_async(["dhl"], countdown=2)
    order.delete()
    try:
        shop.wait_for(result)
    except Order.DoesNotExist as error:
        say(f"   {result.state}: {type(error).__qualname__}: {error}")
    check(result.state == "FAILURE", f"The task's state is {result.state}.")
    shop.wait_for(shop.order().ship.delay("dhl"))
    say("   The worker goes on: it has shipped another order since.")


def many_rows(shop):
    """A method over 2,000 orders, 100 in a message: Order.label.bulk_apply_async(orders)"""
    orders = shop.orders(2000)
    nowhere, gone = orders[10:13], orders[500:505]
    Order.objects.filter(pk__in=[order.pk for order in nowhere]).update(street="")
    Order.objects.filter(pk__in=[order.pk for order in gone]).delete()
    result = Order.label.bulk_apply_async(orders, batch_size=100)
    with tqdm(total=result.total, unit=" orders", desc="   ") as bar:
        counts = result.wait(
            timeout=shop.patience,
            interval=0.1,
            on_progress=lambda counts: bar.update(counts.completed - bar.n),
        )
    say(f"   In {result.messages} messages: {counts.succeeded:,} have a label,", end=" ")
    say(f"{counts.failed} failed, {counts.missing} were deleted.")
    for failure in result.failures()[:2]:
        say(f"   Order {failure.key}: {failure.error}")
    check(result.messages == 20, f"There were {result.messages} messages.")
    check(
        (counts.succeeded, counts.failed, counts.missing) == (1992, 3, 5),
        f"The numbers are {counts}.",
    )
    check(
        sorted(failure.key for failure in result.failures())
        == [order.pk for order in (*nowhere, *gone)],
        "The failures are not those of the orders without a street and of the deleted ones.",
    )


def the_size_of_a_message(shop):
    """Sizes on the wire, of a reference and of a whole instance."""
    order = shop.order()
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    sent = order.ship.s("dhl")
    by_reference = (sent.args, sent.kwargs, nothing)
    sizes = {
        "by hand, in json: ship.delay(order.pk, 'dhl')": size(
            ((order.pk, "dhl"), {}, nothing), "json"
        ),
        "order.ship.delay('dhl'), in cereal-json": size(by_reference, CEREAL_JSON),
        "order.ship.delay('dhl'), in cereal-pickle, signed": size(by_reference, CEREAL_PICKLE),
        "the whole order, in pickle": size(((order, "dhl"), {}, nothing), "pickle"),
    }
    for what, number in sizes.items():
        say(f"   {number:>6} bytes  {what}")
    *_, reference, whole = sizes.values()
    check(reference * 3 <= whole, "A reference is more than a third of the instance.")


def size(body, serializer):
    """Return the length of a message's body, as Celery would send it."""
    payload = dumps(body, serializer)[2]
    return len(payload.encode() if isinstance(payload, str) else payload)


STEPS = (
    a_method_on_the_worker,
    a_row_that_changes,
    a_chain_over_two_orders,
    a_transaction_that_fails,
    a_row_that_is_gone,
    many_rows,
    the_size_of_a_message,
)
