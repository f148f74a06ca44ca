"""Messages that cannot be run, and the worker that survives them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu import serialization

from cereal_methods.exceptions import (
    InvalidMessage,
    SignatureMismatch,
    UnknownModel,
    UnknownVersion,
)
from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import Opaque, unwrap

from .workers import Worker

SECONDS = 30
EMBED = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


class Marker:
    """Writes to a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.fixture
def send() -> Iterator[Callable[..., Any]]:
    """Send a body as it is, as someone with access to the broker would."""
    with app.producer_or_acquire() as producer:

        def publish(body: bytes, task: str, serializer: str = "cereal-pickle") -> Any:
            from kombu.utils.uuid import uuid

            task_id = uuid()
            content_type = serialization.registry.name_to_type[serializer]
            producer.publish(
                body,
                routing_key=app.conf.task_default_queue,
                content_type=content_type,
                content_encoding="utf-8" if "json" in serializer else "binary",
                headers={"task": task, "id": task_id, "lang": "py", "argsrepr": "()"},
                correlation_id=task_id,
            )
            return app.AsyncResult(task_id)

        yield publish


def body_of(order: Order, serializer: str = "cereal-pickle") -> Any:
    signature = order.ship.s("dhl")
    body = (signature.args, signature.kwargs, EMBED)
    return serialization.dumps(body, serializer)[2]


def test_a_changed_body_is_never_unpickled_and_fails(
    worker: Worker, send: Callable[..., Any], tmp_path: Any
) -> None:
    order = Order.objects.create()
    trap = pickle.dumps(((Marker(str(tmp_path / "trap")),), {}), 5)
    header = b'{"cereal":1,"call":%d}\n' % len(trap)
    forged = b"\x01" + b"\x00" * 32 + header + trap

    result = send(forged, order.ship.name)

    with pytest.raises(SignatureMismatch) as caught:
        result.get(timeout=SECONDS)
    assert str(caught.value) == (
        "The signature of a cereal-pickle message does not match, so nothing of it was read. It "
        "was changed on its way, sent by someone without the key, or signed with a key that is "
        "neither SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor among its fallbacks here."
    )
    assert not (tmp_path / "trap").exists()
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_a_truncated_body_fails(worker: Worker, send: Callable[..., Any]) -> None:
    order = Order.objects.create()

    result = send(body_of(order, "cereal-json")[:-3].encode(), order.ship.name, "cereal-json")

    with pytest.raises(InvalidMessage) as caught:
        result.get(timeout=SECONDS)
    assert (
        str(caught.value)
        == "The message is damaged: its body is shorter or longer than its header says."
    )
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_a_body_without_a_header_is_logged_and_dropped(
    worker: Worker, send: Callable[..., Any]
) -> None:
    order = Order.objects.create()

    send(b"\x01" + b"x" * 50, order.ship.name)

    worker.wait_for_log("Can't decode message body: DecodeError(SignatureMismatch(")
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_a_body_of_a_newer_version_fails(worker: Worker, send: Callable[..., Any]) -> None:
    order = Order.objects.create()
    body = body_of(order, "cereal-json").replace('"cereal":1', '"cereal":2')

    result = send(body.encode(), order.ship.name, "cereal-json")

    with pytest.raises(UnknownVersion):
        result.get(timeout=SECONDS)
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_an_unknown_model_fails(worker: Worker, send: Callable[..., Any]) -> None:
    order = Order.objects.create()
    body = body_of(order, "cereal-json").replace("shop.Order", "shop.Gone")

    result = send(body.encode(), order.ship.name, "cereal-json")

    with pytest.raises(UnknownModel) as caught:
        result.get(timeout=SECONDS)
    assert str(caught.value) == (
        "This process has no model 'shop.Gone', which a message refers to. Add its app to "
        "INSTALLED_APPS here, or deploy the code that has the model before sending. If it was "
        "renamed or moved, name it in CEREAL_METHODS['MODEL_ALIASES']."
    )
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_a_class_that_the_worker_lacks_fails(worker: Worker) -> None:
    order = Order.objects.create()
    Opaque.__qualname__ = Opaque.__name__ = "Vanished"
    try:
        import tests.shop.tasks as module

        module.Vanished = Opaque  # type: ignore[attr-defined]
        result = unwrap.delay(Opaque(order))
    finally:
        Opaque.__qualname__ = Opaque.__name__ = "Opaque"

    with pytest.raises(InvalidMessage) as caught:
        result.get(timeout=SECONDS)
    assert str(caught.value).startswith(
        "The arguments of a message cannot be read: AttributeError: Can't get attribute 'Vanished'"
    )
    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"
