"""What tasks of this library do beside what their task class does: in sending, in handlers.

Each function here calls the method of the task's class that it is put before when the task is
bound to its app. So it works with any task class of an app or a project, whatever the task's
options are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Ignore

from ..celery_api.tasks import collect_sending, get_current_task, has_own_method, repr_sizes
from ..results.endings import Replaced
from ..rows.container import with_references
from ..rows.reference import THIS, Reference, reference_of
from ..rows.values import named_reference, replace_leaves, with_lazy_rows
from . import durability, handlers, text
from .json_arguments import json_arguments
from .message import reprs_of
from .state import state_of
from .this import make_this_lazy

if TYPE_CHECKING:
    from .handlers import Method

#: The options of ``Task.apply_async`` that may be given by their place, after the arguments.
_PLACES: Final = ("task_id", "producer", "link", "link_error", "shadow")


def on_bound(cls: Any, app: Any) -> None:
    """Wrap the methods of a task's class. Celery calls it for each app that has the task."""
    owner = next(base for base in cls.__mro__ if "target" in vars(base))  # not a subclass of it
    super(owner, cls).on_bound(app)
    if cls.has_row_hooks:
        return
    cls.has_row_hooks = True
    cls.has_custom_call = has_own_method(cls, "__call__")
    for name, hook in _HOOKS.items():
        _wrap(cls, name, hook)
    for name, handler in _HANDLERS.items():
        if has_own_method(cls, name):
            _wrap(cls, name, handler)


def _wrap(cls: Any, name: str, hook: Callable[..., Any]) -> None:
    method = getattr(cls, name)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return hook(method, self, *args, **kwargs)

    setattr(cls, name, wrapped)


def _apply_async(
    method: Method, task: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> Any:
    """Send the task, with texts of its arguments that name the row.

    Every send passes through here: signatures, retries and beat too. Celery's own texts take
    longer, and call ``__str__`` of the instances that a retry sends.
    """
    this = kwargs.get(THIS) if isinstance(kwargs, Mapping) else None
    if this is not None and type(this) is not dict:
        running = get_current_task()
        reference = None if running is None else _origin(running.request, this)
        reference = reference or named_reference(this) or reference_of(this)
        if reference is not None:
            kwargs = {**kwargs, THIS: reference.as_plain()}
    args_size, kwargs_size = repr_sizes(task.app)
    if "argsrepr" not in options and isinstance(args or (), (list, tuple)):
        row = text.row_in(kwargs, task.target.model)
        options["argsrepr"] = text.args_text(row, args, args_size)
    if "kwargsrepr" not in options and isinstance(kwargs or {}, Mapping):
        options["kwargsrepr"] = text.kwargs_text(kwargs, kwargs_size)
    if task.target.is_durable and durability.is_on(task.app):
        options.update(zip(_PLACES, more, strict=False))
        publish = functools.partial(method, task)
        return durability.installed(task.name).send(publish, task, args, kwargs, options)
    return method(task, args, kwargs, *more, **options)


def _apply(method: Method, task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
    """Run the task here and now, on rows that are fetched as a worker would."""
    if type(args) in (list, tuple):
        args = json_arguments([with_lazy_rows(value) for value in args])
    if type(kwargs) is dict:
        kwargs = json_arguments({name: with_lazy_rows(value) for name, value in kwargs.items()})
        make_this_lazy(kwargs, task.target.model)
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
    reprs = reprs_of(request)
    for name, changed in (("argsrepr", args), ("kwargsrepr", kwargs)):
        if changed is None and name in reprs:
            options.setdefault(name, reprs[name])
    args, kwargs = with_references(
        request.args if args is None else args, request.kwargs if kwargs is None else kwargs
    )
    if isinstance(args, (list, tuple)):
        args = [_as_sent(request, value) for value in args]
    if isinstance(kwargs, Mapping):
        kwargs = {name: _as_sent(request, value) for name, value in kwargs.items()}
        this = kwargs.get(THIS, (with_references(request.kwargs)[0] or {}).get(THIS))
        if task.target.model is not None and this is not None:
            kwargs[THIS] = _plain_form(_as_sent(request, this))
    return method(task, request, args, kwargs, *more, **options)


def _plain_form(this: Any) -> Any:
    """Return the plain form of a reference, lazy row or instance; a key stays as it is."""
    reference = named_reference(this) or reference_of(this)
    return this if reference is None else reference.as_plain()


def _as_sent(request: Any, value: Any) -> Any:
    """Return a value with references in the place of the rows that were fetched for them."""
    reference = _origin(request, value)
    if reference is not None:
        return reference
    return replace_leaves(value, lambda leaf: named_reference(leaf) or _origin(request, leaf))


def _origin(request: Any, value: Any) -> Reference | None:
    """Return the reference that a value was fetched for, or None if it was not."""
    resolution = state_of(request).resolution
    return None if resolution is None else resolution.origin(value)


def _on_replace(method: Method, task: Any, sig: Any) -> Any:
    """Send a replacement after the transaction in which the task's function holds its row."""
    sends = state_of(task.request).pending_sends
    if task.target.is_durable and durability.records_canvas(task.app, sig):
        sends = None  # it goes on in this transaction, or not at all
    if sends is not None and not task.request.is_eager:
        collect_sending(sig, sends)
    try:
        return method(task, sig)
    except Ignore as error:
        raise Replaced(*error.args) from None


_HOOKS: Final[Mapping[str, Callable[..., Any]]] = {
    "apply_async": _apply_async,
    "apply": _apply,
    "signature_from_request": _signature_from_request,
    "on_replace": _on_replace,
}

#: Put before the handlers that a task's class has: Celery does not call its own, which are empty.
_HANDLERS: Final[Mapping[str, Callable[..., Any]]] = {
    "before_start": handlers.before_start,
    "__call__": handlers.call,
    "on_success": handlers.on_success,
    "after_return": handlers.after_return,
}
