"""A message's arguments: a list and a dict that are filled when they are first read.

Celery's worker decodes every message in its consumer and again in its pool, and an
exception in a decoder loses the message. So decoding fetches nothing and never fails:
it returns containers that hold the message's bytes.

What a container is filled with depends on its reader. In the consumer it shows values, and
references for rows. In a task it holds the values, and a lazy row for each row; the task's
function gets its rows from ``invocation``. Tasks that this library did not make get theirs
from ``unpacking``.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from celery.signals import task_failure, task_retry

from ..celery_api.tasks import get_current_task
from ..exceptions import InvalidMessage
from ..rows.container import ArgumentContainer
from ..rows.text import for_json, for_repr
from ..rows.values import without_lazy_rows
from .readers import is_called_by_celery, is_read_by_json
from .state import state_of
from .target import is_row_task, row_model_of
from .this import make_this_lazy
from .unpacking import fetch_rows

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from ..serializers.call import Call


class LazyArguments(ArgumentContainer):
    """What the two containers have in common."""

    __slots__ = ()
    call: Call
    is_filled: bool
    #: Which of the two parts of a call a container is for.
    _part: ClassVar[int]

    def readable(self) -> Any:
        """Return the content for a reader: this container, filled.

        Readers outside of its task get the safe view instead.
        """
        if self.is_filled:
            return self
        call = self.call
        if call.is_running(get_current_task()):
            try:
                self._fill(call.lazy_arguments()[self._part])
            except InvalidMessage:  # the task fails for it when Celery unpacks its arguments
                pass
            else:
                return self
        return call.safe_view()[self._part]

    def changeable(self) -> Any:
        """Return this container, filled, to be changed."""
        if not self.is_filled:
            self._fill(self.call.lazy_arguments()[self._part])
        return self

    def for_call(self) -> Any:
        """Return the content for ``function(*args, **kwargs)``.

        Raises why the arguments cannot be had, and for a task that this library did not make
        why its rows cannot be fetched.
        """
        call = self.call
        task: Any = get_current_task()
        if call.is_running(task):
            call.check()
            if not is_row_task(task):
                if not state_of(task.request).has_fetched:
                    self._fetch_rows(task)
            elif not (self.is_filled or call.has_failed or task.has_custom_call) and (
                is_called_by_celery(3)
            ):  # the function gets its rows in any case: it needs no lazy row as this
                self._fill(call.lazy_arguments()[self._part], with_lazy_this=False)
                return self
        return self.readable()

    def _fetch_rows(self, task: Any) -> None:
        parts = task.request.args, task.request.kwargs
        fetch_rows(self.call, task, *(part for part in parts if isinstance(part, LazyArguments)))

    def change_values(self, change: Callable[[Any], Any]) -> None:
        """Replace each value by what ``change`` returns for it."""
        raise NotImplementedError

    def _fill(self, values: Any, *, with_lazy_this: bool = True) -> None:
        raise NotImplementedError

    def _sent(self) -> Any:
        raise NotImplementedError

    def safe_view(self) -> Any:
        """Return the content for texts about it, without a query or a class of the user's."""
        return self if self.is_filled else self.call.safe_view()[self._part]

    def with_references(self) -> Any:
        """Return the content as it was sent, with references in the place of rows."""
        return self._sent() if self.is_filled else self.call.sent_arguments()[self._part]

    def for_json(self) -> Any:
        """Return the content as JSON can show it, with the plain forms of references."""
        return for_json(self.safe_view())

    __json__ = for_json

    def __copy__(self) -> Any:
        return self.readable().copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__copy__(), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The consumer sends its containers to the pool: the bytes are small, and read there.
        if self.is_filled and self.call.is_running(get_current_task()):
            plain = self.__copy__()
            return type(plain), (plain,)
        return type(self), (self.call,)

    __hash__ = None  # type: ignore[assignment]


def _prepared_by(prepare: Callable[[Any], Any], method: Any) -> Any:
    """Return a method of ``list`` or ``dict`` that is called on what ``prepare`` returns."""

    @functools.wraps(method)
    def prepared(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(prepare(self), *args, **kwargs)

    return prepared


def _filled_when_used(reading: str, changing: str) -> Any:
    """Make a subclass of ``list`` or ``dict`` fill itself before any of the methods named."""

    def decorate(cls: Any) -> Any:
        base = cls.__bases__[1]
        for names, prepare in ((reading, cls.readable), (changing, cls.changeable)):
            for name in names.split():
                setattr(cls, name, _prepared_by(prepare, getattr(base, name)))
        return cls

    return decorate


@_filled_when_used(
    "__len__ __getitem__ __contains__ __reversed__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ "
    "__add__ __mul__ __rmul__ copy count index",
    "append clear extend insert pop remove reverse sort __setitem__ __delitem__ __iadd__ __imul__",
)
class LazyArgs(LazyArguments, list[Any]):
    """The positional arguments of a call: a list."""

    __slots__ = ("call", "is_filled")
    _part = 0

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.is_filled = False

    def change_values(self, change: Callable[[Any], Any]) -> None:
        """Replace each value by what ``change`` returns for it."""
        self.readable()
        list.__setitem__(self, slice(None), map(change, list.__iter__(self)))

    def _fill(self, values: list[Any], *, with_lazy_this: bool = True) -> None:
        self.is_filled = True
        list.extend(self, values)

    def _sent(self) -> list[Any]:
        return [without_lazy_rows(value) for value in list.__iter__(self)]

    def __iter__(self) -> Iterator[Any]:
        content = self.for_call()
        return iter(for_json(content)) if is_read_by_json(2) else list.__iter__(content)

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + self.copy()

    def __repr__(self) -> str:
        return repr(tuple(for_repr(self.safe_view())))

    __sentry_repr__ = __repr__


@_filled_when_used(
    "__len__ __getitem__ __iter__ __contains__ __reversed__ __eq__ __ne__ __or__ __ror__ copy get "
    "values",
    "clear pop popitem setdefault update __setitem__ __delitem__ __ior__",
)
class LazyKwargs(LazyArguments, dict[str, Any]):
    """The keyword arguments of a call: a dict."""

    __slots__ = ("call", "is_filled")
    _part = 1

    def __init__(self, call: Call) -> None:
        # The encoder of json reads the size of the dict itself before it asks for items.
        super().__init__({"": None})
        self.call = call
        self.is_filled = False

    def change_values(self, change: Callable[[Any], Any]) -> None:
        """Replace each value by what ``change`` returns for it."""
        self.readable()
        for name, value in dict.items(self):
            dict.__setitem__(self, name, change(value))

    def _fill(self, values: dict[str, Any], *, with_lazy_this: bool = True) -> None:
        self.is_filled = True
        dict.clear(self)
        dict.update(self, values)
        if with_lazy_this:
            make_this_lazy(self, row_model_of(get_current_task()))

    def _sent(self) -> dict[str, Any]:
        return {name: without_lazy_rows(value) for name, value in dict.items(self)}

    @property
    def own_reference(self) -> Reference | None:
        """The reference of ``self``, or of several rows, if the message has one."""
        return self.call.own_reference()

    def keys(self) -> Any:
        """Return the names, for a call: Python asks for them before any value."""
        return dict.keys(self.for_call())

    def items(self) -> Any:
        """Return names and values."""
        content = self.readable()
        return for_json(content).items() if is_read_by_json(2) else dict.items(content)

    def __repr__(self) -> str:
        return repr(for_repr(self.safe_view()))

    __sentry_repr__ = __repr__  # Sentry reads the items of mappings without it


@task_failure.connect(weak=False, dispatch_uid=f"{__name__}.failed")
@task_retry.connect(weak=False, dispatch_uid=f"{__name__}.retried")
def _mark_failed(
    sender: Any, request: Any = None, args: Any = None, kwargs: Any = None, **_: Any
) -> None:
    """Let the arguments of a task that has failed be read without raising why, once more."""
    if request is not None:  # in task_retry
        args, kwargs = request.args, request.kwargs
    for container in (args, kwargs):
        if isinstance(container, LazyArguments) and container.call.error is not None:
            container.call.has_failed = True
