"""The ways of sending that the contract about looking at arguments holds for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from celery import chain

from cereal_methods import ModelReference
from cereal_methods.results.ids import message_id, row_id
from cereal_methods.serializers.writing import dump_with_header
from tests.celery import app
from tests.shop.tasks import plain
from tests.watch.models import Parcel
from tests.watch.tasks import watched_function, watched_function_locked, watched_other

OURS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
SERIALIZERS = ["json", *OURS]
METHODS = ["watched", "watched_locked", "unwatched"]
MODES = ["ok", "fail", "retry", "gone"]


@dataclass
class Sent:
    """A message, and what was noted while it ran: by moment, its first run and its last."""

    way: str
    serializer: str
    method: str
    mode: str
    row: Parcel
    other: Parcel
    id: str
    looks: list[dict[str, Any]] = field(default_factory=list)

    def at(self, moment: str) -> list[dict[str, Any]]:
        """Return what was noted at a moment."""
        return [each for each in self.looks if each["moment"] == moment]

    @property
    def is_of_batch(self) -> bool:
        """Whether it is a row of a batch, which has no message of its own."""
        return self.way == "row of a batch"

    def __str__(self) -> str:
        return f"{self.method}/{self.way}/{self.serializer}/{self.mode}"


@contextmanager
def default_serializer(task: Any, serializer: str) -> Iterator[None]:
    """Give a task another serializer, as ``delay`` takes no options."""
    before, task.serializer, task._exec_options = task.serializer, serializer, None
    try:
        yield
    finally:
        task.serializer, task._exec_options = before, None


def as_instance(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    method = getattr(row, name)
    with default_serializer(method.task, serializer):
        return str(method.delay(*args, **kwargs).id)


def as_class(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    method = getattr(Parcel, name)
    with default_serializer(method.task, serializer):
        return str(method.delay(row, *args, **kwargs).id)


def with_options(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    sent = getattr(row, name).apply_async(
        args, kwargs, serializer=serializer, headers={"tenant": "a"}, argsrepr="(hidden)"
    )
    return str(sent.id)


def in_chain(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    second = getattr(row, name).s(*args[1:], **kwargs).set(serializer=serializer)
    first = plain.s().set(serializer=serializer)  # a worker signs nothing that came unsigned
    return str(chain(first, second).delay().id)


def by_key(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    task = getattr(Parcel, name).task.name
    return str(app.send_task(task, args, {**kwargs, "this": row.pk}, serializer=serializer).id)


def by_name(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    task = getattr(Parcel, name).task.name
    this = ModelReference.of(row).as_plain() if serializer == "json" else row
    return str(app.send_task(task, args, {**kwargs, "this": this}, serializer=serializer).id)


def as_keyword(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    """Send ``this`` among the keyword arguments of a body, and not in its header."""
    written = import_module(f"cereal_methods.serializers.{serializer.partition('-')[2]}").FORMAT
    body = dump_with_header(written, [(tuple(args), {**kwargs, "this": ModelReference.of(row)})])
    task_id = str(uuid.uuid4())
    with app.producer_or_acquire() as producer:
        producer.publish(
            body.encode() if isinstance(body, str) else body,
            routing_key=app.conf.task_default_queue,
            content_type=f"application/x-{serializer}",
            content_encoding="utf-8" if serializer[-4:] in ("json", "yaml") else "binary",
            headers={"task": getattr(Parcel, name).task.name, "id": task_id, "lang": "py"},
            correlation_id=task_id,
        )
    return task_id


def in_bulk(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    bulk = getattr(Parcel, name).bulk_apply_async(
        [row.pk], args, kwargs, serializer=serializer, ignore_result=False
    )
    return message_id(bulk.id, 0)


def in_batch(row: Parcel, name: str, serializer: str, args: list[Any], kwargs: Any) -> str:
    beside = Parcel.objects.create(number="beside")
    bulk = getattr(Parcel, name).bulk_apply_async(
        [beside.pk, row.pk], args, kwargs, batch_size=2, serializer=serializer
    )
    return row_id(message_id(bulk.id, 0), 1)


WAYS: dict[str, Callable[..., str]] = {
    "instance.delay": as_instance,
    "Class.delay": as_class,
    "apply_async": with_options,
    "chain": in_chain,
    "send_task by key": by_key,
    "send_task by instance": by_name,
    "this as a keyword": as_keyword,
    "bulk of one": in_bulk,
    "row of a batch": in_batch,
}


def send_all() -> list[Sent]:
    """Send every method in every way under every serializer, to succeed, fail and so on."""
    sent = []
    for method in METHODS:
        for way, send in WAYS.items():
            for serializer in SERIALIZERS:
                if serializer == "json" and way == "this as a keyword":
                    continue  # which Celery's json has for all
                for mode in MODES:
                    row, other = Parcel.objects.create(), Parcel.objects.create(number="other")
                    args: list[Any] = ["first", 2 if serializer == "json" else other]
                    if mode == "gone":
                        Parcel.objects.filter(pk=row.pk).delete()
                    kwargs = {"mode": "ok" if mode == "gone" else mode}
                    task_id = send(row, method, serializer, args, kwargs)
                    sent.append(Sent(way, serializer, method, mode, row, other, task_id))
    return sent


def send_functions() -> list[Sent]:
    """Send functions with a row among their arguments."""
    sent = []
    for task in (watched_function, watched_function_locked, watched_other):
        for serializer in OURS:
            for mode in MODES:
                row, other = Parcel.objects.create(), Parcel.objects.create(number="other")
                if mode == "gone":
                    Parcel.objects.filter(pk=row.pk).delete()
                kwargs = {"mode": "ok" if mode == "gone" else mode}
                message = task.apply_async([row, other], kwargs, serializer=serializer)
                name = task.name.rpartition(".")[2]
                sent.append(Sent("function", serializer, name, mode, row, other, message.id))
    return sent
