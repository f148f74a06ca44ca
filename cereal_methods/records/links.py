"""The ids of a durable task's links: the same ones, however often it hands its result on."""

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
    """Give an id to each link of a task that has none, so that a durable link runs once.

    Celery would give them new ids each time it sends them.
    """
    for name in ("callbacks", "errbacks"):
        links = getattr(request, name)
        if links:
            links = [links] if isinstance(links, Mapping) else links
            found = [
                _identified(link, f"{task_id}/{turn}/{name}/{number}")
                for number, link in enumerate(links)
            ]
            setattr(request, name, found)


def _identified(signature: Any, path: str) -> Any:
    parts = _PARTS.get(signature.get("subtask_type"))
    if parts is None:
        options = {"task_id": str(uuid5(_NAMESPACE, path)), **(signature.get("options") or {})}
        return {**signature, "options": options}
    kwargs = dict(signature["kwargs"])
    for name in parts:
        kwargs[name] = _each_identified(kwargs[name], f"{path}/{name}")
    return {**signature, "kwargs": kwargs}


def _each_identified(part: Any, path: str) -> Any:
    if isinstance(part, Mapping):
        return _identified(part, path)
    return [_identified(each, f"{path}/{number}") for number, each in enumerate(part)]
