"""Handlers of task classes (``before_start``, ``on_success``, ...), and the arguments they get.

Handlers are given lazy rows, which fetch a row when they are asked for a field. After the
function has run, they are given its rows. For a batch they are called once for each row, and
not for the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..celery_api.tasks import request_on_top
from ..rows.lazy import is_lazy
from ..rows.reference import THIS
from ..rows.values import with_lazy_rows
from .request_arguments import change_arguments, copy_changes
from .this import make_this_lazy, names_batch

#: The method that a handler stands before.
Method = Callable[..., Any]


def before_start(method: Method, task: Any, task_id: Any, args: Any, kwargs: Any) -> None:
    """Call a task class's ``before_start``; what it changes, the function is called with."""
    request = task.request
    _make_lazy(request, task.target.model)
    if names_batch(request.kwargs):
        return
    lazy_args, lazy_kwargs = request.args, request.kwargs
    args_before, kwargs_before = list(lazy_args), dict(lazy_kwargs)
    method(task, task_id, lazy_args, lazy_kwargs)
    if args is not lazy_args:
        copy_changes(args, args_before, lazy_args)
    if kwargs is not lazy_kwargs:
        copy_changes(kwargs, kwargs_before, lazy_kwargs)


def call(method: Method, task: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a task class's ``__call__``, with a lazy row as ``this``."""
    request = request_on_top(task)
    if request is not None and not request.called_directly:
        if names_batch(request.kwargs):
            return task.run(*args, **kwargs)
        if task.target.model is not None and THIS in kwargs and not is_lazy(kwargs[THIS]):
            _make_lazy(request, task.target.model)
            kwargs[THIS] = request.kwargs.get(THIS, kwargs[THIS])
    return method(task, *args, **kwargs)


def on_success(
    method: Method, task: Any, retval: Any, task_id: Any, args: Any, kwargs: Any
) -> None:
    """Call a task class's ``on_success`` with the rows that the function had."""
    request = task.request
    if not names_batch(request.kwargs):
        method(task, retval, task_id, request.args, request.kwargs)


def after_return(
    method: Method,
    task: Any,
    status: Any,
    retval: Any,
    task_id: Any,
    args: Any,
    kwargs: Any,
    einfo: Any,
) -> None:
    """Call a task class's ``after_return`` with the rows that the function had."""
    request = task.request
    if not names_batch(request.kwargs):
        method(task, status, retval, task_id, request.args, request.kwargs, einfo)


def _make_lazy(request: Any, model: Any) -> None:
    """Put lazy rows in the place of the references in a task's arguments.

    Arguments from our own serializers hold them already, except for a method's row that was
    sent as a key; those from Celery's serializers hold plain forms.
    """
    if type(request.args) in (list, tuple) or type(request.kwargs) is dict:
        change_arguments(request, with_lazy_rows)
    make_this_lazy(request.kwargs, model)
