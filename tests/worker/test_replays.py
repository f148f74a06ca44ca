"""Signed messages that somebody with access to the broker keeps, changes and sends again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from celery import chain, chord
from django.conf import settings
from django.test import override_settings
from kombu import Queue
from kombu.serialization import dumps
from kombu.utils.uuid import uuid

from cereal_methods.exceptions import InvalidMessage, SignatureMismatch
from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import plain

from .workers import Worker

SECONDS = 30
ASIDE = f"aside-{uuid()}"

#: What is changed of a message's headers, and what its failure names.
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"task": "tests.shop.models.Order.ship"}, "task"),
    ({"id": "another"}, "id"),
    ({"expires": None}, "expires"),
    ({"expires": "2100-01-01T00:00:00+00:00"}, "expires"),
    ({"task": "tests.shop.models.Order.ship", "id": "another", "expires": None}, "task and id"),
]


class Kept(NamedTuple):
    """A message that never reached a worker."""

    body: Any
    content_type: str
    content_encoding: str
    headers: dict[str, Any]

    def send(
        self, body: Any = None, content_type: str = "", content_encoding: str = "", **headers: Any
    ) -> Any:
        """Send it to the worker, with a new id for a result of its own if the id changes."""
        if "id" in headers:
            headers["id"] = uuid()
        headers = {**self.headers, **headers}
        with app.producer_or_acquire() as producer:
            producer.publish(
                self.body if body is None else body,
                routing_key=app.conf.task_default_queue,
                content_type=content_type or self.content_type,
                content_encoding=content_encoding or self.content_encoding,
                headers=headers,
                correlation_id=headers["id"],
            )
        return app.AsyncResult(headers["id"])


@pytest.fixture(scope="module", autouse=True)
def aside() -> Iterator[None]:
    yield
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(ASIDE)


@contextmanager
def signing_all() -> Iterator[None]:
    unlock: Any = app.tasks["celery.chord_unlock"]  # has read CELERY_TASK_SERIALIZER already
    before, unlock.serializer, unlock._exec_options = unlock.serializer, "cereal-json", None
    try:
        with override_settings(CEREAL_METHODS={**settings.CEREAL_METHODS, "SIGN_ALL": True}):
            yield
    finally:
        unlock.serializer, unlock._exec_options = before, None


def keep(method: Any, *args: Any, **options: Any) -> Kept:
    """Send a message to a queue without a worker, and take it from there."""
    method.apply_async(args, queue=ASIDE, **options)
    with app.connection_for_read() as connection:
        queue = Queue(ASIDE)(connection.default_channel)
        message = None
        while message is None:  # RabbitMQ's arrives a moment later
            message = queue.get(no_ack=True, accept=app.conf.accept_content)
    return Kept(message.body, message.content_type, message.content_encoding, message.headers)


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that takes signed and unsigned messages."""
    found = start_worker("--pool=solo")
    yield found
    found.__exit__()


@pytest.fixture(scope="module")
def strict_worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    required = {"TEST_REQUIRE_SIGNED": "1", "TEST_REQUIRE_BOUND": "1"}
    found = start_worker("--pool=prefork", "-c1", TEST_TASK_SERIALIZER="cereal-json", **required)
    yield found
    found.__exit__()


@pytest.fixture
def strict(strict_worker: Worker, route: Callable[[Worker], None]) -> Worker:
    """A worker that takes nothing unsigned, and nothing that does not say what it is for."""
    route(strict_worker)
    return strict_worker


@pytest.mark.parametrize(
    "serializer", ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
)
@pytest.mark.parametrize(("headers", "name"), CHANGES)
def test_a_message_does_not_run_as_what_it_was_not_signed_for(
    worker: Worker, serializer: str, headers: dict[str, Any], name: str
) -> None:
    with signing_all():
        message = keep(Order.objects.create().trace, "dhl", serializer=serializer, expires=3600)

    result = message.send(**headers)

    with pytest.raises(SignatureMismatch, match=f"was signed for another {name}"):
        result.get(timeout=SECONDS)
    assert worker.events() == []


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "unicode_escape"])
def test_nor_does_one_that_the_brokers_client_gives_as_text(worker: Worker, encoding: str) -> None:
    # RabbitMQ's decodes bodies by the content_encoding of their message.
    message = keep(Order.objects.create().trace, "dhl")

    result = message.send(content_encoding=encoding, id="another")

    with pytest.raises(InvalidMessage):
        result.get(timeout=SECONDS)
    assert worker.events() == []


@pytest.mark.parametrize(
    "serializer", ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
)
def test_the_very_message_can_be_sent_again(worker: Worker, serializer: str) -> None:
    # What a signature does not prevent; docs/security.md says so.
    with signing_all():
        message = keep(Order.objects.create(number="7").trace, "dhl", serializer=serializer)

    assert [message.send().get(timeout=SECONDS) for _ in range(2)] == [["7", "dhl"]] * 2


def test_a_result_does_not_run_as_a_call(worker: Worker) -> None:
    message = keep(Order.objects.create().trace, "dhl")
    _, _, body = dumps({"result": 5}, "cereal-pickle")

    with pytest.raises(InvalidMessage, match="is the result of a task, not a call"):
        message.send(body).get(timeout=SECONDS)


@pytest.mark.parametrize("name", ["x-cereal-json", "x-cereal-yaml", "x-cereal-msgpack", "json"])
def test_a_body_does_not_run_under_another_serializer(worker: Worker, name: str) -> None:
    message = keep(Order.objects.create().trace, "dhl")

    with pytest.raises(InvalidMessage):
        message.send(content_type=f"application/{name}").get(timeout=SECONDS)


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_nothing_unsigned_runs_where_signatures_are_required(
    strict: Worker, serializer: str
) -> None:
    order = Order.objects.create(number="7")

    for method, args in [(order.trace, ("dhl",)), (app.signature("celery.map"), (plain.s(), [1]))]:
        result = keep(method, *args, serializer=serializer).send()
        with pytest.raises(InvalidMessage, match="REQUIRE_SIGNED"):
            result.get(timeout=SECONDS)


@pytest.mark.parametrize("in_headers", [False, True])
def test_an_unsigned_message_of_another_task_makes_a_worker_sign_nothing_there(
    strict: Worker, in_headers: bool
) -> None:
    message = keep(plain, 5)
    asked = {"chain": [dict(Order.objects.create(number="7").trace.si("dhl").clone())]}
    body = dumps([[5], {}, {} if in_headers else asked], "json")[2]

    result = message.send(body, **(asked if in_headers else {}))

    with pytest.raises(InvalidMessage, match="embeds signatures"):
        result.get(timeout=SECONDS)
    assert message.send(id="another").get(timeout=SECONDS) == ["plain", 5]
    assert strict.events() == []


@pytest.mark.parametrize("serializer", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_nothing_runs_there_with_what_is_a_signature_only_in_bytes(
    strict: Worker, serializer: str
) -> None:
    with signing_all():
        message = keep(Order.objects.create().trace, "dhl", serializer=serializer)
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    line, _, blobs = body.partition(b"\n")

    result = message.send(line[:-66] + "\xe9".encode() * 32 + b'"}\n' + blobs)

    with pytest.raises(InvalidMessage, match="REQUIRE_SIGNED"):
        result.get(timeout=SECONDS)


def test_a_signed_body_without_its_signature_does_not_run_there(strict: Worker) -> None:
    with signing_all():
        message = keep(Order.objects.create().trace, "dhl", serializer="cereal-json")
    signed = message.body if isinstance(message.body, bytes) else message.body.encode()
    start = signed.index(b',"signature":"')
    body = signed[:start] + signed[signed.index(b"}", start) :]

    with pytest.raises(InvalidMessage, match="REQUIRE_SIGNED"):
        message.send(body).get(timeout=SECONDS)


def test_what_does_not_say_what_it_is_for_does_not_run_where_that_is_required(
    strict: Worker,
) -> None:
    order = Order.objects.create()
    embed = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    _, _, body = dumps((("dhl",), {"this": order}, embed), "cereal-pickle")

    with pytest.raises(InvalidMessage, match="REQUIRE_BOUND"):
        keep(order.trace, "dhl").send(body).get(timeout=SECONDS)


def test_canvases_bulks_and_retries_run_where_everything_is_required(strict: Worker) -> None:
    orders = [Order.objects.create(number=str(number)) for number in range(3)]
    with signing_all():
        chained = chain(orders[0].trace.s("dhl"), plain.s()).apply_async(serializer="cereal-json")
        counted = chord([order.trace.s("dhl") for order in orders], plain.s()).apply_async()
        bulk = Order.trace.bulk_delay(orders, "dhl")
        batches = Order.trace.bulk_apply_async(orders, ("dhl",), batch_size=2)
        retried = orders[0].retry_until.delay(2)

    assert chained.get(timeout=SECONDS) == ["plain", ["0", "dhl"]]
    assert counted.get(timeout=SECONDS) == ["plain", [[str(number), "dhl"] for number in range(3)]]
    for result in (bulk, batches):
        result.wait(timeout=SECONDS)
        assert result.succeeded == 3
    assert retried.get(timeout=SECONDS)[0] == 2


def test_the_rest_of_a_batch_that_a_time_limit_ends_is_signed_for_its_message(
    strict: Worker,
) -> None:
    orders = [Order.objects.create(number=number) for number in ("1", "stuck", "3")]
    with signing_all():
        result = Order.survive.bulk_apply_async(orders, batch_size=3, time_limit=2)

    result.wait(timeout=SECONDS)

    assert (result.succeeded, result.failed) == (2, 1)
