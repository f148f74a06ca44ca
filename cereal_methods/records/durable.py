"""The functions that the rest of the library calls, as ``running.durability`` defines them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import batches, bulks, running, sending

if TYPE_CHECKING:
    from ..rows.reference import QuerySetReference


class Records:
    """Records durable tasks in the table, and runs them once."""

    send = staticmethod(sending.send)
    send_rows = staticmethod(bulks.send_rows)
    run = staticmethod(running.run)
    run_row = staticmethod(batches.run_row)

    def run_batch(
        self,
        task: Any,
        request: Any,
        rows: QuerySetReference,
        call: Callable[[], Any],
        divide: Callable[[], Any],
    ) -> Any:
        """Run a batch once, or send a message for each of its rows."""

        def divide_at_once() -> Any:
            with bulks.many(task):
                return divide()

        return running.Run(task, request, rows, call, divide_at_once).run()

    def records_canvas(self, app: Any, canvas: Mapping[str, Any]) -> bool:
        """Whether all tasks of a canvas that are sent at once are durable."""
        return all(_is_durable(app, part) for part in _first(canvas))


def _first(canvas: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the signatures of a canvas that are sent at once."""
    kind, kwargs = canvas.get("subtask_type"), canvas.get("kwargs") or {}
    if kind == "chain":
        parts = list(kwargs.get("tasks") or ())[:1]
    elif kind == "group":
        parts = list(kwargs.get("tasks") or ())
    elif kind == "chord":
        header = kwargs.get("header") or ()
        parts = [header] if isinstance(header, Mapping) else list(header)
    else:
        yield canvas
        return
    for part in parts:
        yield from _first(part)


def _is_durable(app: Any, signature: Mapping[str, Any]) -> bool:
    target = getattr(app.tasks.get(signature.get("task")), "target", None)
    return bool(getattr(target, "is_durable", False))
