"""The Celery task behind a method: its name, its registration and its run.

The task is an ordinary shared task, so that it lives on whatever Celery app is
current, with whatever task class that app has. Its arguments are the method's
without ``self``, and the keyword ``this`` for ``self``: Celery puts results
before the positional arguments of the next signature in a chain, so a ``self``
among them would not stay first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from celery import Task, shared_task
from celery._state import (  # type: ignore[attr-defined]
    _get_active_apps,
    get_current_app,
    get_current_task,
)
from django.db import models

from . import batches, conf, display
from .arguments import THIS, LazyArgs, LazyKwargs, Pending
from .definitions import OWN_OPTIONS
from .exceptions import InvalidModelTask, UnsupportedKey
from .hydration import fetch_all
from .policies import RowPolicy, begin, fetch_for
from .references import (
    ModelReference,
    QuerySetReference,
    from_plain,
    reference_to,
    replace,
    to_references,
)

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from .options import Method, TaskOptions

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Typed for decorators with literal options, which these are not.
_share: Any = shared_task


# The names of method tasks, and the methods that they belong to.
_owners: Final[dict[str, str]] = {}


def task_name(model: type, *path: str) -> str:
    """Return the name of a method's task: ``shop.models.Order.ship``."""
    return ".".join((model.__module__, model.__name__, *path))


def register(
    name: str,
    model: type[models.Model],
    method: Callable[..., Any],
    signature: inspect.Signature,
    *,
    takes_row: bool,
    aliases: Sequence[str] = (),
    on_commit: bool | None = None,
    **options: Any,
) -> None:
    """Register the Celery task of a method on the current app and all later ones.

    ``method`` is called with the row first if ``takes_row``, else with the
    task's arguments alone. ``options`` are those of ``celery.shared_task`` and of
    ``RowPolicy``. Raises ``InvalidModelTask`` if another task has the name.
    """
    own = {key: options.pop(key) for key in RowPolicy.__slots__ if key in options}
    own.setdefault("on_missing", conf.get("ON_MISSING"))
    policy = RowPolicy.from_options(f"@model_task of {name}", own)
    managers = sorted(manager.name for manager in model._meta.managers)
    if policy.manager is not None and policy.manager not in managers:
        raise InvalidModelTask(
            f"@model_task of {name}: {model._meta.label} has no manager {policy.manager!r}. It has "
            f"{', '.join(managers)}.",
            name,
        )
    options.setdefault("serializer", conf.get("SERIALIZER"))

    def run(*args: Any, **kwargs: Any) -> Any:
        # With bind, Celery passes the task as the first of args, where the method takes it.
        if not takes_row:
            args, kwargs = _settle(args, kwargs)
            return method(*args, **kwargs)
        if THIS not in kwargs:
            raise InvalidModelTask(
                f"The task {name} was sent without the row that it is to run on. By its name it is "
                "sent with the instance as the keyword this, as in send_task(name, args, {'this': "
                "instance}). Celery's own map, starmap and chunks leave it out: use those of the "
                "method, as in instance.method.map(...).",
                name,
            )
        this = kwargs.pop(THIS)
        if not isinstance(this, models.Model):
            return run_unfetched(this, args, kwargs)
        this, args, kwargs = _settle(this, args, kwargs)
        return method(_checked(this), *args, **kwargs)

    def run_unfetched(this: Any, args: Any, kwargs: Any) -> Any:
        """Run the method where its row is yet to be fetched: in a way of its own, or by key."""
        this = _row_of(this)
        rows = this.reference if isinstance(this, Pending) else this
        if isinstance(rows, QuerySetReference):
            return batches.run_rows(
                get_current_task(), policy, rows, this, args, kwargs, _settle_raw
            )
        if isinstance(this, Pending):
            fetched = policy.fetched(get_current_task(), this.own, this.settle, this.call.fail)
            with fetched as (row, (more, named)):
                return method(_checked(row), *args, *more, **named)
        if policy.fetches_self:

            def settle_others(row: Any) -> Any:
                others = replace((args, kwargs), lambda value: row if value == this else None)
                return _settle_raw(*others)

            with policy.fetched(get_current_task(), this, settle_others) as (row, (args, kwargs)):
                return method(_checked(row), *args, **kwargs)
        row, args, kwargs = _settle(this, args, kwargs)
        if isinstance(row, ModelReference):  # it came as a key, of which a message knows nothing
            (row,) = settle(row)
            begin(get_current_task())
        return method(_checked(row), *args, **kwargs)

    def _row_of(this: Any) -> Any:
        """Return the reference of what came for ``self``, or what is one in any other way."""
        this = from_plain(this) or this
        if isinstance(this, (ModelReference, QuerySetReference, Pending)):
            return this
        # A schedule has the key, as JSON does.
        try:
            return reference_to(model, this)
        except UnsupportedKey as error:
            raise InvalidModelTask(
                f"The task {name} was sent with this={this!r}, which is neither a primary key of "
                f"{model._meta.label} nor a reference to a row of it.",
                name,
            ) from error

    def _checked(row: Any) -> Any:
        if not isinstance(row, model):
            raise InvalidModelTask(
                f"The task {name} was sent for {type(row).__qualname__} and not for an instance of "
                f"{model._meta.label}. Send it as instance.method.delay().",
                name,
            )
        return row

    functools.update_wrapper(run, method)
    run.__module__ = model.__module__
    run.__qualname__ = name.removeprefix(f"{model.__module__}.")
    run.__signature__ = signature  # type: ignore[attr-defined]
    for known_as in (name, *aliases):
        _claim(known_as, f"{model.__module__}.{model.__qualname__}:{method.__qualname__}")
        _share(
            run,
            name=known_as,
            row_policy=policy,
            row_model=model if takes_row else None,
            on_commit=on_commit,
            apply_async=_apply_async,
            signature_from_request=_signature_from_request,
            **options,
        )


@functools.wraps(Task.apply_async)
def _apply_async(
    self: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> Any:
    # In the place of the task class's own, with texts about the arguments that name the row:
    # whatever sends the task comes by here, also signatures, retries and beat. Celery's texts
    # take longer to make, and call __str__ of the instances that a retry sends.
    amqp = self.app.amqp
    if "argsrepr" not in options and isinstance(args or (), (list, tuple, LazyArgs)):
        row = display.row_in(kwargs, self.row_model)
        options["argsrepr"] = display.args_text(row, args, amqp.argsrepr_maxsize)
    if "kwargsrepr" not in options and isinstance(kwargs or {}, Mapping):
        options["kwargsrepr"] = display.kwargs_text(kwargs, amqp.kwargsrepr_maxsize)
    return _base_of(self).apply_async(args, kwargs, *more, **options)


@functools.wraps(Task.signature_from_request)
def _signature_from_request(
    self: Any, request: Any = None, args: Any = None, kwargs: Any = None, *more: Any, **options: Any
) -> Any:
    # A retry keeps the texts that the caller gave. Where nothing was fetched yet, as in a hook
    # that retries before the task begins, it sends the references that came.
    request = self.request if request is None else request
    for text, changed in (("argsrepr", args), ("kwargsrepr", kwargs)):
        if changed is None and getattr(request, text, None):
            options.setdefault(text, getattr(request, text))
    args = request.args if args is None else args
    kwargs = request.kwargs if kwargs is None else kwargs
    args, kwargs = (
        part.plainly(references=True) if getattr(part, "is_unread", False) else part
        for part in (args, kwargs)
    )
    return _base_of(self).signature_from_request(request, args, kwargs, *more, **options)


def _base_of(task: Any) -> Any:
    """Return a method's task as its task class has it, without what is added here."""
    made = next(kind for kind in type(task).__mro__ if "row_policy" in vars(kind))
    return super(made, task)


def _claim(name: str, owner: str) -> None:
    """Raise ``InvalidModelTask`` if a task has the name already and is another."""
    taken = _owners.setdefault(name, owner)
    if taken != owner:
        raise _taken(name, owner, taken)
    for app in _get_active_apps():
        # Tasks of apps that are not finalized are not there yet; find() looks again.
        found = app._tasks.get(name) if app.finalized else None
        if found is not None and not hasattr(found, "row_policy"):
            raise _taken(name, owner, found)


def _taken(name: str, owner: str, by: Any) -> InvalidModelTask:
    if not isinstance(by, str):
        by = f"{by.__module__}.{by.__name__}"
    return InvalidModelTask(
        f"The task name {name!r} of {owner} is taken by {by}. Give one of them another with name=.",
        name,
    )


def find(name: str) -> Any:
    """Return the Celery task of a method by its name, from the current app.

    Raises ``InvalidModelTask`` if another task of the app has taken the name since.
    """
    app = get_current_app()
    check_name(app, name)
    return app.tasks[name]


def names() -> list[str]:
    """Return the names of all methods' tasks, former ones included."""
    return sorted(_owners)


def check_name(app: Any, name: str) -> None:
    """Raise ``InvalidModelTask`` if a method's task is another task in a Celery app."""
    found = app.tasks.get(name)
    if found is not None and not hasattr(found, "row_policy"):
        raise _taken(name, _owners[name], found)


def waits_for_commit(task: Any) -> bool:
    """Whether a method's task is sent when the transaction has committed."""
    return bool(conf.get("ON_COMMIT") if task.on_commit is None else task.on_commit)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *, bind: Literal[False] = ..., base: None = ..., **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


@overload
def task(
    *, bind: Literal[True], base: None = ..., **options: Unpack[TaskOptions]
) -> Callable[[Method[Any, P, R]], Task[P, R]]: ...


@overload
def task(
    *, base: type[T], bind: bool = ..., **options: Any
) -> Callable[[Callable[..., Any]], T]: ...


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a shared task whose arguments may hold model instances.

    It is ``celery.shared_task`` with the setting ``CEREAL_METHODS["SERIALIZER"]``
    as serializer, and ``on_missing`` as for ``model_task``; bare or with options.
    """
    if function is None:
        return functools.partial(task, **options)
    methods_only = (OWN_OPTIONS - {"on_missing"}) & options.keys()
    if methods_only:
        raise InvalidModelTask(
            f"@task of {function.__qualname__} has no option {min(methods_only)!r}, which is for "
            "methods.",
            function.__qualname__,
        )

    def run(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _settle(args, kwargs)
        return function(*args, **kwargs)

    functools.update_wrapper(run, function)
    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    options.setdefault(
        "row_policy", RowPolicy.from_options(f"@task of {function.__qualname__}", options)
    )
    options.setdefault("serializer", conf.get("SERIALIZER"))
    return _share(run, **options)


def settle(*values: Any, fetch: Callable[[list[Any]], list[Any]] | None = None) -> tuple[Any, ...]:
    """Return the values with fresh instances for the references in them, at any depth.

    One query per model and database; none where there is no reference. Rows that
    are gone or cannot be asked for are a matter of the running task's policy, unless
    ``fetch`` is another way to get them.
    """
    found: dict[Any, Any] = {}

    def note(value: Any) -> None:
        if isinstance(value, (ModelReference, QuerySetReference)):
            found[value] = None

    replace(values, note)
    if not found:
        return values
    rows_of = fetch or functools.partial(fetch_for, get_current_task())
    rows = dict(zip(found, rows_of(list(found)), strict=True))
    settled: tuple[Any, ...] = replace(values, lambda value: _row_for(value, rows))
    return settled


def _row_for(value: Any, rows: Mapping[Any, Any]) -> Any:
    is_reference = isinstance(value, (ModelReference, QuerySetReference))
    return rows[value] if is_reference else None


def _settle(*values: Any, fetch: Callable[[list[Any]], list[Any]] | None = None) -> tuple[Any, ...]:
    """Return the values of a run with instances for the references that are left.

    The message of a cereal serializer brings none. They come under other
    serializers, and where Celery calls an errback inline, with arguments
    straight from the embed. An eager run (``apply``, or a retry under
    ``task_always_eager``) brings instances that were in no message: they are
    fetched again, as a worker would.
    """
    task = get_current_task()
    if task is not None:
        request = task.request
        # Either of them: where Celery runs eagerly, it makes a list of empty arguments,
        # and gives a retry the keyword arguments that were fetched for the run before.
        is_lazy = isinstance(request.args, LazyArgs) or isinstance(request.kwargs, LazyKwargs)
        if is_lazy and not (request.is_eager and request.retries):
            return values
        if request.is_eager:
            values = to_references(values)
    settled = settle(*values, fetch=fetch)
    begin(task)
    return settled


def _settle_raw(*values: Any) -> tuple[Any, ...]:
    """Do what ``_settle`` does, for a caller that minds the policy itself."""
    return _settle(*values, fetch=fetch_all)


def signature_of(method: Callable[..., Any], *, takes_row: bool, bind: bool) -> inspect.Signature:
    """Return the signature of a method's task: without the row, which comes as ``this``."""
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())
    if not takes_row:
        return signature
    if _is_positional(parameters):
        del parameters[0]
    this = inspect.Parameter(THIS, inspect.Parameter.KEYWORD_ONLY)
    last = parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - 1 if last else len(parameters), this)
    return signature.replace(parameters=parameters)


def _is_positional(parameters: list[inspect.Parameter]) -> bool:
    """Whether the first parameter is one of its own, and not ``*args``."""
    first = parameters[0].kind if parameters else inspect.Parameter.VAR_POSITIONAL
    return first in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
