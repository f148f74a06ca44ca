"""What messages hold, and how a worker's pool runs them."""

from __future__ import annotations

from typing import Any

from celery.app.trace import build_tracer

from cereal_methods import ModelReference
from tests.celery import app


def trace(message: Any) -> Any:
    """Run a message's task as a worker's pool does, and return Celery's outcome."""
    task = app.tasks[message.headers["task"]]
    args, kwargs, embed = message.payload
    request = {**message.headers, **embed, "delivery_info": {}, "hostname": "test"}
    return build_tracer(task.name, task, app=app)(message.headers["id"], args, kwargs, request)


def sent_call(message: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a message, with references in place of rows."""
    args, kwargs, _ = message.payload
    return list(args.with_references()), dict(kwargs.with_references())


def row(model: str, pk: Any, using: str = "default") -> ModelReference:
    """Return the reference to a row of the shop."""
    return ModelReference(f"shop.{model}", pk, using)
