"""The message that a task runs for: its request, its call and its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..celery_api.tasks import request_on_top
from ..celery_api.tasks import requests_of as stack_of
from ..rows.container import ArgumentContainer
from ..rows.values import without_lazy_rows
from .state import state_of

if TYPE_CHECKING:
    from ..serializers.call import Call


def is_called_directly(request: Any) -> bool:
    """Whether a task was called as a function is, and not for a message."""
    return request is None or bool(request.called_directly)


def request_of(task: Any) -> Any:
    """Return the request of the message that a task runs for.

    None if the function runs for no message: the task is None, or the function that runs for
    the message has called its own task.
    """
    if task is None:
        return None
    stack = stack_of(task)
    request: Any = stack[-1] if stack else None
    if len(stack) > 1 and (request.called_directly or request.id == stack[-2].id):
        # Celery's Task.__call__ has pushed a copy: for a task class with its own __call__ that
        # runs eagerly, or for a function that calls its own task.
        below = stack[-2]
        if not (below.called_directly or state_of(below).has_started):
            return below
    return None if request is None or state_of(request).has_started else request


def requests_of(task: Any, request: Any) -> list[Any]:
    """Return a message's request, and the copy that Celery's ``Task.__call__`` made of it."""
    top = request_on_top(task)
    return [request] if top is None or top is request else [request, top]


def call_of(request: Any) -> Call | None:
    """Return the call in a request, or None if another serializer wrote its message."""
    for container in () if request is None else (request.args, request.kwargs):
        if isinstance(container, ArgumentContainer):
            call: Call = container.call
            return call
    return None


def sent_arguments_of(request: Any) -> tuple[Any, Any, str | None]:
    """Return a message's arguments as they were sent, and the name of their serializer.

    The name is None if it was none of ours.
    """
    serializer = None
    arguments = []
    for position, part in enumerate((request.args, request.kwargs)):
        if isinstance(part, ArgumentContainer):
            arguments.append(part.call.sent_arguments()[position])
            serializer = part.call.decoder.name
        else:
            arguments.append(without_lazy_rows(part))
    return arguments[0], arguments[1], serializer


def reprs_of(request: Any) -> dict[str, str]:
    """Return a message's texts of its arguments, ``argsrepr`` and ``kwargsrepr``, if it has them.

    Its caller may have chosen them.
    """
    headers = vars(request)
    return {name: headers[name] for name in ("argsrepr", "kwargsrepr") if headers.get(name)}
