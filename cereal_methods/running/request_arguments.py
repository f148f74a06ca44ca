"""The arguments in a task's request, which are changed as its rows are fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..rows.reference import THIS
from .arguments import LazyArguments
from .json_arguments import JSONArgs, JSONKwargs, json_arguments


def change_arguments(request: Any, change: Callable[[Any], Any]) -> None:
    """Replace each value by what ``change`` returns for it.

    Celery's signals keep the list and dict that its own serializers decoded.
    """
    request.args, request.kwargs = json_arguments(request.args), json_arguments(request.kwargs)
    for container in (request.args, request.kwargs):
        if isinstance(container, (LazyArguments, JSONArgs, JSONKwargs)):
            container.change_values(change)


def copy_changes(container: Any, before: Any, after: Any) -> None:
    """Change Celery's list or dict as a hook has changed the one that it was given.

    ``before`` and ``after`` are the hook's arguments before and after its call.
    """
    if isinstance(after, dict):
        for name in before.keys() - after.keys():
            del container[name]
        container.update(
            {name: value for name, value in after.items() if before.get(name, after) is not value}
        )
    elif len(before) != len(after) or any(
        one is not other for one, other in zip(before, after, strict=True)
    ):
        container[:] = after


def set_this(request: Any, row: Any) -> None:
    """Put a method's row, or its reference, in the place of what the message named it by."""
    request.kwargs = json_arguments(request.kwargs)
    if isinstance(request.kwargs, dict) and dict.__contains__(request.kwargs, THIS):
        dict.__setitem__(request.kwargs, THIS, row)
