"""The steps of the demo, one function each."""

import os
import signal
import time
import uuid
from decimal import Decimal

from celery import chain
from celery.exceptions import TimeoutError as NotYet
from django.core.management import call_command
from django.db import transaction
from kombu.serialization import dumps
from tqdm import tqdm

from cereal_methods import CEREAL_JSON, CEREAL_PICKLE
from cereal_methods.records.models import TaskRecord
from config import celery_app
from shop.models import Customer, Event, Order


def say(text, end="\n"):
    print(text, end=end, flush=True)


class Unexpected(Exception):
    """A step did not do what it should."""


def check(fact, otherwise):
    """Raise ``Unexpected`` unless a fact is true."""
    if not fact:
        raise Unexpected(otherwise)


class Shop:
    """A customer with orders, and the worker's results."""

    def __init__(self, start_worker, patience):
        self.start_worker = start_worker
        self.worker = start_worker()
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
        """Return the result of a task, or raise its error."""
        for _ in range(self.patience):
            try:
                return result.get(timeout=1)
            except NotYet:
                check(self.worker.poll() is None, "The worker has ended.")
        raise Unexpected(f"No result after {self.patience} seconds.")

    def wait_until(self, is_so, otherwise):
        """Return when a condition is true."""
        until = time.monotonic() + self.patience
        while not is_so():
            check(self.worker.poll() is None, "The worker has ended.")
            check(time.monotonic() < until, otherwise)
            time.sleep(0.1)

    def kill_worker(self):
        """Kill the worker and all of its processes, which they cannot notice."""
        if os.name == "nt":
            self.worker.kill()
        else:
            os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()


def a_method_on_the_worker(shop):
    """A method runs on the worker: order.ship.delay("dhl")"""
    order = shop.order()
    address = shop.wait_for(order.ship.delay("dhl"))
    order.refresh_from_db()
    (event,) = order.events.all()
    say(f"   It returned {address!r}, and the row is now: {order.status} with {order.carrier}.")
    say(f"   Process {event.process} ran it; this is process {os.getpid()}.")
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
    """A task that is sent in a transaction leaves when it commits, or never."""
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
    say(f"   The next transaction committed, and the order was shipped with {order.carrier}.")
    check(order.events.count() == 1, "The order was shipped twice.")
    check(order.carrier == "dhl", f"The order was shipped with {order.carrier}.")
    check(never.state == "PENDING", "A task was sent although its transaction was rolled back.")


def a_row_that_is_gone(shop):
    """A row is deleted while its task waits. The task fails, and the error names the row."""
    order = shop.order()
    result = order.ship.apply_async(["dhl"], countdown=2)
    order.delete()
    try:
        shop.wait_for(result)
    except Order.DoesNotExist as error:
        say(f"   {result.state}: {type(error).__qualname__}: {error}")
    check(result.state == "FAILURE", f"The task's state is {result.state}.")
    shop.wait_for(shop.order().ship.delay("dhl"))
    say("   The worker continues: it has shipped another order since.")


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


def a_worker_and_a_broker_that_die(shop):
    """The worker is killed and the broker loses its messages; each order is charged once."""
    with transaction.atomic():
        orders = shop.orders(100)
        ids = [order.charge.delay().id for order in orders]  # @model_task(durable=True)
    records = TaskRecord.objects.filter(pk__in=ids)
    shop.wait_until(lambda: records.done().count() >= 5, "The orders are not charged.")
    shop.kill_worker()
    lost = lose_messages()
    say(f"   {charges(orders)} of 100 orders were charged when the worker was killed.")
    say(f"   The broker lost {lost} messages. The database has their records.")
    shop.worker = shop.start_worker()
    say("   A new worker is started:  ", end="")
    call_command("task_records", "resend", sent_for=0)
    shop.wait_until(lambda: records.done().count() == 100, "Some orders are not charged.")
    say(f"   {charges(orders)} charges for 100 orders.")
    check(
        all(order.events.count() == 1 for order in orders), "An order was not charged exactly once."
    )


def charges(orders):
    """Return how often orders were charged."""
    return Event.objects.filter(order__in=orders, text__startswith="charged").count()


def lose_messages():
    """Delete the messages that wait, as a broker without a disk does when it restarts."""
    with celery_app.connection_for_write() as connection:
        queue = celery_app.amqp.queues[os.environ["CELERY_QUEUE"]](connection.default_channel)
        return queue.purge()


def the_size_of_a_message(shop):
    """The size of a message with a reference, and with a whole instance."""
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
    a_worker_and_a_broker_that_die,
    the_size_of_a_message,
)
