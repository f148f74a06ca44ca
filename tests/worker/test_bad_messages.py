"""Messages that cannot be run, and the worker that survives them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from kombu import serialization

from cereal_methods import ModelReference
from cereal_methods.exceptions import (
    InvalidMessage,
    InvalidModelTask,
    SignatureMismatch,
    UnknownModel,
    UnknownVersion,
)
from tests.celery import app
from tests.shop.models import Customer, Order
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
                content_encoding="utf-8" if serializer[-4:] in ("json", "yaml") else "binary",
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
        "The signature of a cereal-pickle message does not match, so the message was not read. It "
        "was changed on its way, sent by someone without the key, or signed with a key that is "
        "neither SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor one of its fallbacks here. "
        "Compare the keys of sender and worker, and check who can write to the broker."
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


SECRET = "c4n4ry"  # pragma: allowlist secret

#: Bodies that call nothing, and the content type that they say to have.
NO_CALLS: dict[str, tuple[Any, str]] = {
    "noise": (b"\x01" + SECRET.encode() * 9, "cereal-pickle"),
    "pickle": (pickle.dumps(((SECRET,), {}, {})), "cereal-pickle"),
    "nothing": (b"", "cereal-json"),
    "two of three": (f'[["{SECRET}"],{{}}]'.encode(), "cereal-json"),
    "no arguments": (f'["{SECRET}",{{}},{{}}]'.encode(), "cereal-json"),
    "a dict": (f'{{"cereal": 1, "args": ["{SECRET}"]}}'.encode(), "cereal-json"),
    "yaml": (f"{SECRET}: *x".encode(), "cereal-yaml"),
    "msgpack": (b"\xdd\xff\xff\xff\xff" + SECRET.encode(), "cereal-msgpack"),
    "json list": (b"[]", "json"),
    "json text": (f'"{SECRET}"'.encode(), "json"),
    "json number": (b"5", "json"),
    "json of three": (f'[5,"{SECRET}",{{}}]'.encode(), "json"),
    "no json": (f'[["{SECRET}"'.encode(), "json"),
    **{
        f"result in {name}": (
            serialization.dumps({"status": "SUCCESS", "result": SECRET}, name)[2],
            name,
        )
        for name in ("cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack", "json")
    },
    "reference in cereal-json": (
        b'{"cereal":1,"refs":[["shop.Order",1,"default"]],"result":10}\n{"$ref":0}',
        "cereal-json",
    ),
}


def test_bodies_that_call_nothing_fail_and_the_worker_goes_on(
    worker: Worker, send: Callable[..., Any]
) -> None:
    order = Order.objects.create()
    worker.events()

    results = {
        (kind, task): send(body.encode() if isinstance(body, str) else body, task, serializer)
        for task in (order.ship.name, "tests.shop.tasks.plain")
        for kind, (body, serializer) in NO_CALLS.items()
    }

    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"
    for (kind, _), result in results.items():
        with pytest.raises(InvalidMessage):
            result.get(timeout=SECONDS)
        assert result.state == "FAILURE", kind
    log = worker.log.read_text()
    for (kind, task), result in results.items():
        told = [line for line in log.splitlines() if result.id in line and "ERROR" in line]
        assert len(told) == 1, (kind, told)
        assert f"Task {task}[{result.id}] fails before it starts: " in told[0]
        assert "find out who else can write to the broker (queue " in told[0]
    assert SECRET not in log
    assert settings.SECRET_KEY not in log
    # No query but those of the one task that ran, and none in the consumer.
    assert [event["pid"] for event in worker.events() if event["what"] == "query"].count(
        worker.pid
    ) == (0 if "prefork" in " ".join(worker.options) else 2)


def test_what_a_line_says_of_a_body_that_calls_nothing(
    worker: Worker, send: Callable[..., Any]
) -> None:
    result = send(b"abc", "tests.shop.tasks.plain", "cereal-json")

    with pytest.raises(InvalidMessage):
        result.get(timeout=SECONDS)
    start = f"Task tests.shop.tasks.plain[{result.id}] fails before it starts: "
    (line,) = [line for line in worker.log.read_text().splitlines() if start in line]
    assert "cannot be read: JSONDecodeError." in line
    assert line.endswith(
        "find out who else can write to the broker "
        f"(queue '{worker.queue}', 3 bytes of application/x-cereal-json)."
    )


def test_a_forged_body_is_logged_once_and_not_quoted(
    worker: Worker, send: Callable[..., Any]
) -> None:
    order = Order.objects.create()
    blob = pickle.dumps(((SECRET,), {}))
    forged = b"\x01" + b"\x00" * 32 + b'{"cereal":1,"call":%d}\n' % len(blob) + blob
    spoilt = f'{{"cereal":1,"call":{len(SECRET) + 4}}}\n[["{SECRET}'.encode()
    results = [
        send(forged, order.ship.name),
        send(spoilt, order.ship.name, "cereal-json"),
        send(spoilt.replace(b'[["', b"- *"), order.ship.name, "cereal-yaml"),
        send(spoilt.replace(b'[["', b"\xc1\xc1\xc1"), order.ship.name, "cereal-msgpack"),
    ]

    for result in results:
        with pytest.raises(InvalidMessage):
            result.get(timeout=SECONDS)

    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"
    log = worker.log.read_text()
    for result in results:
        told = [line for line in log.splitlines() if result.id in line and "ERROR" in line]
        assert len(told) == 1
        assert f"Task {order.ship.name}[{result.id}] raised unexpected: " in told[0]
    assert SECRET not in log
    assert settings.SECRET_KEY not in log


def test_a_signed_body_of_another_models_method_does_not_run(
    worker: Worker, send: Callable[..., Any]
) -> None:
    customer = Customer.objects.create(name="Ann")
    kwargs = {"this": ModelReference.of(customer).as_plain()}
    body = serialization.dumps((("dhl",), kwargs, EMBED), "cereal-pickle")[2]

    with pytest.raises(InvalidModelTask):
        send(body, "tests.shop.models.Order.ship").get(timeout=SECONDS)


def test_a_message_without_an_id_is_logged_and_the_worker_goes_on(worker: Worker) -> None:
    order = Order.objects.create()

    with app.producer_or_acquire() as producer:
        producer.publish([[], {}, {}], routing_key=worker.queue, headers={"task": order.ship.name})

    worker.wait_for_log("fails before it starts: The message has no id.")
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
    assert str(caught.value).startswith("This process has no model 'shop.Gone'")
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
