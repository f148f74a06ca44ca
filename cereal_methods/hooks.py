"""What the tasks of methods and functions do beside what their task class does.

Each function here calls the method of the task's class that it stands before. They are put
there when the task is bound to its app, so that they hold for whatever class the app or the
project has, and whatever options the task was given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celery import Task
from celery._state import get_current_task
from celery.exceptions import Ignore
from celery.utils.objects import mro_lookup

from . import display
from .arguments import plainly
from .calls import THIS
from .failures import Replaced
from .hydration import fetch
from .references import QuerySetReference, from_plain, reference_of, replace
from .resolutions import Resolution, reference_in, show_row
from .shown import show_in, shown, take_changes
from .stand_ins import is_stand_in, stand_in

if TYPE_CHECKING:
    from django.db import models

Method = Callable[..., Any]


def on_bound(cls: Any, app: Any) -> None:
    """Wrap the methods of a task's class. Celery calls it for each app that has the task."""
    owner = next(each for each in cls.__mro__ if "target" in vars(each))  # not a subclass of it
    super(owner, cls).on_bound(app)
    if hasattr(cls, "_is_wrapped"):
        return
    cls._is_wrapped = True
    for name, around in _ALWAYS.items():
        _wrap(cls, name, around)
    for name, around in _IF_CUSTOM.items():
        if mro_lookup(cls, name, stop={Task, object}, monkey_patched=["celery.app.task"]):
            _wrap(cls, name, around)
            if name == "__call__":  # which sees the arguments that the function is called with
                cls.shows_rows = True


def _wrap(cls: Any, name: str, around: Callable[..., Any]) -> None:
    method = getattr(cls, name)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(method, self, *args, **kwargs)

    setattr(cls, name, wrapped)


def _apply_async(
    method: Method, task: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> Any:
    """Send the task, with texts about its arguments that name the row.

    Whatever sends it comes by here, also signatures, retries and beat. Celery's texts take
    longer to make, and call ``__str__`` of the instances that a retry sends.
    """
    this = kwargs.get(THIS) if isinstance(kwargs, Mapping) else None
    if this is not None and type(this) is not dict:
        reference = _origin(get_current_task(), this) or reference_in(this) or reference_of(this)
        if reference is not None:
            kwargs = {**kwargs, THIS: reference.as_plain()}
    amqp = task.app.amqp
    if "argsrepr" not in options and isinstance(args or (), (list, tuple)):
        row = display.row_in(kwargs, task.row_model)
        options["argsrepr"] = display.args_text(row, args, amqp.argsrepr_maxsize)
    if "kwargsrepr" not in options and isinstance(kwargs or {}, Mapping):
        options["kwargsrepr"] = display.kwargs_text(kwargs, amqp.kwargsrepr_maxsize)
    return method(task, args, kwargs, *more, **options)


def _apply(method: Method, task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
    """Run the task here and now, as a worker would: on rows that are fetched afresh."""
    if type(args) in (list, tuple):
        args = shown([with_stand_ins(value) for value in args])
    if type(kwargs) is dict:
        kwargs = shown({name: with_stand_ins(value) for name, value in kwargs.items()})
        show_row(kwargs, task.row_model)
    return method(task, args, kwargs, **options)


def _signature_from_request(
    method: Method,
    task: Any,
    request: Any = None,
    args: Any = None,
    kwargs: Any = None,
    *more: Any,
    **options: Any,
) -> Any:
    """Return the signature of a retry: on the same row, with the texts that the caller gave."""
    request = task.request if request is None else request
    for text, changed in (("argsrepr", args), ("kwargsrepr", kwargs)):
        if changed is None and getattr(request, text, None):
            options.setdefault(text, getattr(request, text))
    args, kwargs = plainly(
        request.args if args is None else args, request.kwargs if kwargs is None else kwargs
    )
    if isinstance(args, (list, tuple)):
        args = [_as_sent(request, value) for value in args]
    if isinstance(kwargs, Mapping):
        kwargs = {name: _as_sent(request, value) for name, value in kwargs.items()}
        this = kwargs.get(THIS, (plainly(request.kwargs)[0] or {}).get(THIS))
        if task.row_model is not None and this is not None:
            kwargs[THIS] = _plain(_as_sent(request, this))
    return method(task, request, args, kwargs, *more, **options)


def _plain(this: Any) -> Any:
    reference = reference_in(this) or reference_of(this)
    return this if reference is None else reference.as_plain()


def _as_sent(request: Any, value: Any) -> Any:
    """Return a value with references in the place of the rows that were fetched for them."""
    found = _fetched_for(request, value)
    if found is not None:
        return found
    return replace(value, lambda leaf: reference_in(leaf) or _fetched_for(request, leaf))


def _fetched_for(request: Any, value: Any) -> Any:
    resolution = getattr(request, "resolution", None)
    return resolution.origin(value) if isinstance(resolution, Resolution) else None


def _origin(task: Any, value: Any) -> Any:
    return None if task is None else _fetched_for(task.request, value)


def _on_replace(method: Method, task: Any, sig: Any) -> Any:
    """Send what replaces a task after the transaction in which its function holds its row."""
    waiting = getattr(task.request, "sends_later", None)
    if waiting is not None and not task.request.is_eager:
        send = sig.apply_async

        def send_later(*args: Any, **kwargs: Any) -> None:
            waiting.append(functools.partial(send, *args, **kwargs))

        sig.apply_async = send_later
    try:
        return method(task, sig)
    except Ignore as error:
        raise Replaced(*error.args) from None


def show(request: Any, model: type[models.Model] | None) -> None:
    """Put stand-ins in the place of the references in a task's arguments, for its hooks.

    Those of our own serializers hold them already, but for a method's row that was sent as a
    key; Celery's own leave it in the form in which it came.
    """
    if type(request.args) in (list, tuple) or type(request.kwargs) is dict:
        show_in(request, with_stand_ins)
    show_row(request.kwargs, model)


def with_stand_ins(value: Any) -> Any:
    """Return a value with stand-ins in the place of instances, querysets and references."""
    return replace(value, _stand_in)


def _stand_in(value: Any) -> Any:
    if is_stand_in(value):
        return value
    reference = reference_of(value)
    return None if reference is None else stand_in(reference, fetch)


def _is_batch(request: Any) -> bool:
    """Whether a message carries several rows, each of which has a request of its own later."""
    kwargs = request.kwargs
    this = kwargs.get(THIS) if isinstance(kwargs, Mapping) else None
    return isinstance(this if type(this) is not dict else from_plain(this), QuerySetReference)


def _before_start(method: Method, task: Any, task_id: Any, args: Any, kwargs: Any) -> None:
    request = task.request
    show(request, task.row_model)
    if _is_batch(request):
        return
    shown_args, shown_kwargs = request.args, request.kwargs
    before = list(shown_args), dict(shown_kwargs)
    method(task, task_id, shown_args, shown_kwargs)
    if args is not shown_args:
        take_changes(args, before[0], shown_args)
    if kwargs is not shown_kwargs:
        take_changes(kwargs, before[1], shown_kwargs)


def _call(method: Method, task: Any, /, *args: Any, **kwargs: Any) -> Any:
    request = task.request_stack.top
    if request is not None and not request.called_directly:
        if _is_batch(request):
            return task.run(*args, **kwargs)
        if task.row_model is not None and THIS in kwargs and not is_stand_in(kwargs[THIS]):
            show(request, task.row_model)
            kwargs[THIS] = request.kwargs.get(THIS, kwargs[THIS])
    return method(task, *args, **kwargs)


def _on_success(
    method: Method, task: Any, retval: Any, task_id: Any, args: Any, kwargs: Any
) -> None:
    request = task.request
    if not _is_batch(request):
        method(task, retval, task_id, request.args, request.kwargs)


def _after_return(
    method: Method,
    task: Any,
    status: Any,
    retval: Any,
    task_id: Any,
    args: Any,
    kwargs: Any,
    einfo: Any,
) -> None:
    request = task.request
    if not _is_batch(request):
        method(task, status, retval, task_id, request.args, request.kwargs, einfo)


_ALWAYS: Final[Mapping[str, Callable[..., Any]]] = {
    "apply_async": _apply_async,
    "apply": _apply,
    "signature_from_request": _signature_from_request,
    "on_replace": _on_replace,
}

#: Wrapped where the task's class has one of its own: Celery leaves out the others.
_IF_CUSTOM: Final[Mapping[str, Callable[..., Any]]] = {
    "before_start": _before_start,
    "__call__": _call,
    "on_success": _on_success,
    "after_return": _after_return,
}
