"""Orders whose method does what their number says, and batches of them in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery.app.trace import trace_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import OperationalError

from cereal_methods import model_task
from tests.celery import app
from tests.shop.models import Order


def _raise(error: BaseException) -> Callable[..., Any]:
    def act(order: Order, task: Any) -> Any:
        raise error

    return act


def _delete_others(order: Order, task: Any) -> None:
    Order.objects.exclude(pk=order.pk).delete()


#: What a method does, by the number of its order. Other orders return their number.
ACTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "fails": _raise(ValueError("it fails")),
    "ignored": _raise(Ignore("not today")),
    "rejected": _raise(Reject("no", requeue=False)),
    "requeued": _raise(Reject("later", requeue=True)),
    "cancelled": _raise(asyncio.CancelledError()),
    "limited": _raise(SoftTimeLimitExceeded()),
    "exits": _raise(SystemExit(1)),
    "interrupted": _raise(KeyboardInterrupt()),
    "retries": lambda order, task: task.retry(countdown=0),
    "locks": lambda order, task: threading.Lock(),
    "itself": lambda order, task: order,
    "deletes": _delete_others,
    "broken": _raise(ValueError(threading.Lock())),
    "unavailable": _raise(OperationalError("unavailable")),
}


def odd_orders(**options: Any) -> Any:
    """Return a model of orders whose method ``act`` has these options."""

    class OddOrder(Order):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(bind=True, max_retries=1, default_retry_delay=0, **options)
        def act(self, task: Any, *args: Any) -> Any:
            action = ACTIONS.get(self.number)
            return action(self, task) if action is not None else self.number

    return OddOrder


def rows_of(model: Any, *numbers: str) -> list[Any]:
    """Return new rows of a model of orders, with these numbers."""
    return [model.objects.create(number=number) for number in numbers]


def deliver(message: Any, *, redelivered: bool = False, **request: Any) -> Any:
    """Run a message as a process of the pool does; return what Celery's trace returns."""
    args, kwargs, _ = message.payload
    headers = {**message.headers, "delivery_info": {"redelivered": redelivered}, **request}
    headers.update(args=args, kwargs=kwargs, is_eager=False, called_directly=False)
    task = app.tasks[headers["task"]]
    return trace_task(task, headers["id"], args, kwargs, headers, app=app)
