"""Stable ids for the links of a durable task, so that each durable link runs once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

_NAMESPACE: Final = UUID("6f1d8f0e-8f5c-4b0e-9d0a-3c1f7d1f2a14")

#: The signatures in the signature of a canvas, by its type.
_PARTS: Final[Mapping[str, Sequence[str]]] = {
    "chain": ("tasks",),
    "group": ("tasks",),
    "chord": ("header", "body"),
}


def identify(request: Any, task_id: str, turn: int) -> None:
    """Give an id to each link of a task that has none.

    Celery would give the links new ids each time the task hands on its result.
    """
    for name in ("callbacks", "errbacks"):
        links = getattr(request, name)
        if links:
            links = [links] if isinstance(links, Mapping) else links
            setattr(request, name, _identified(links, f"{task_id}/{turn}/{name}"))


def _identified(value: Any, path: str) -> Any:
    """Return a signature, or several of them, with ids; anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_identified(part, f"{path}/{number}") for number, part in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    parts = _PARTS.get(value.get("subtask_type") or "")
    if parts is None:
        options = {"task_id": str(uuid5(_NAMESPACE, path)), **(value.get("options") or {})}
        return {**value, "options": options}
    kwargs = dict(value.get("kwargs") or {})
    for name in parts:
        kwargs[name] = _identified(kwargs.get(name), f"{path}/{name}")
    return {**value, "kwargs": kwargs}
