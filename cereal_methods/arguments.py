"""A message's arguments: a list and a dict that are filled when they are first read.

Celery's worker decodes every message in its consumer and again in its pool, and an
exception in a decoder loses the message. So decoding fetches nothing and fails for
nothing: it returns containers that hold the message's bytes.

What they are filled with depends on who reads them. In the consumer that is what can be
shown: values, and references for rows. In a task it is the values, with a stand-in for
each row; the task's function gets its rows from ``invocation``. For the tasks of others
the rows are fetched when ``celery.app.trace`` unpacks the arguments at
``fun(*args, **kwargs)``, inside the task's own ``try``: there a row that is gone is a
failure like any other, with state, errbacks, ``on_failure`` and log.
"""

from __future__ import annotations

import copy
import functools
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from celery._state import get_current_task
from celery.signals import task_failure, task_retry

from .calls import INTERRUPTS, NO_EMBED, Call, unreadable
from .embeds import check_embed
from .exceptions import InvalidMessage
from .failures import fetch_for
from .references import Reference, all_from_wire
from .resolutions import Resolution, for_json, in_words, show_row, without_stand_ins


class _Lazy:
    """What the two containers have in common: they are filled when they are read."""

    __slots__ = ()
    call: Call
    is_filled: bool
    is_fetched: bool
    _half: ClassVar[int]

    def content(self) -> Any:
        """Return what is read: this container, filled; outside of its task what can be shown."""
        if self.is_filled:
            return self
        call = self.call
        if call.is_running(get_current_task()):
            try:
                self._fill(call.outline()[self._half])
            except InvalidMessage:  # which ends the task, where it is unpacked
                pass
            else:
                return self
        return call.peek()[self._half]

    def changed(self) -> Any:
        """Return this container, filled, to be changed."""
        if not self.is_filled:
            self._fill(self.call.outline()[self._half])
        return self

    def unpacked(self) -> Any:
        """Return what a function is called with: of others' tasks with their rows fetched."""
        call, task = self.call, get_current_task()
        if call.is_running(task):
            call.check()
            if not (self.is_fetched or hasattr(task, "row_policy")):
                _fetch(call, task)
            elif not self.is_filled and _is_called_by_celery(task):
                try:  # for the task's function alone, which gets its rows in any case
                    self._take(call.outline()[self._half])
                except InvalidMessage:
                    call.check()
                else:
                    return self
        return self.content()

    def _fill(self, values: Any) -> None:
        raise NotImplementedError

    def _take(self, values: Any) -> None:
        raise NotImplementedError

    def _sent(self) -> Any:
        raise NotImplementedError

    def peek(self) -> Any:
        """Return the content for texts about it, without a query or a class of the user's."""
        return self if self.is_filled else self.call.peek()[self._half]

    def plainly(self, *, references: bool) -> Any:
        """Return the content as it is sent, with references in place, or else as JSON has it."""
        if not references:
            return for_json(self.peek())
        return self.call.sent()[self._half] if not self.is_filled else self._sent()

    def __json__(self) -> Any:
        return for_json(self.peek())

    def __copy__(self) -> Any:
        return self.content().copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__copy__(), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Celery's pool is sent what its consumer has, which is small and read once more.
        if self.is_filled and self.call.is_running(get_current_task()):
            plain = self.__copy__()
            return type(plain), (plain,)
        return type(self), (self.call,)

    __hash__ = None  # type: ignore[assignment]


def _first(prepare: Callable[[Any], Any], method: Any) -> Any:
    """Return a method of ``list`` or ``dict`` that is called on what ``prepare`` returns."""

    @functools.wraps(method)
    def prepared(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(prepare(self), *args, **kwargs)

    return prepared


def _filled_when_used(reading: str, changing: str) -> Any:
    """Make a subclass of ``list`` or ``dict`` fill itself before any of its methods."""

    def decorate(made: Any) -> Any:
        kind = made.__mro__[2]
        for names, prepare in ((reading, made.content), (changing, made.changed)):
            for name in names.split():
                if name not in vars(made):
                    setattr(made, name, _first(prepare, getattr(kind, name)))
        return made

    return decorate


@_filled_when_used(
    "__len__ __getitem__ __contains__ __reversed__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ "
    "__add__ __mul__ __rmul__ copy count index",
    "append clear extend insert pop remove reverse sort __setitem__ __delitem__ __iadd__ __imul__",
)
class LazyArgs(_Lazy, list[Any]):
    """The positional arguments of a call: a list."""

    __slots__ = ("call", "is_fetched", "is_filled")
    _half = 0

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.is_filled = self.is_fetched = False

    def _fill(self, values: list[Any]) -> None:
        self.is_filled = True
        list.extend(self, values)

    _take = _fill

    def _sent(self) -> list[Any]:
        return [without_stand_ins(value) for value in list.__iter__(self)]

    def __iter__(self) -> Iterator[Any]:
        content = self.unpacked()
        return iter(for_json(content)) if _is_asked_by_json() else list.__iter__(content)

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + self.copy()

    def __repr__(self) -> str:
        return repr(tuple(in_words(self.peek())))

    __sentry_repr__ = __repr__


@_filled_when_used(
    "__len__ __getitem__ __iter__ __contains__ __reversed__ __eq__ __ne__ __or__ __ror__ copy get "
    "values",
    "clear pop popitem setdefault update __setitem__ __delitem__ __ior__",
)
class LazyKwargs(_Lazy, dict[str, Any]):
    """The keyword arguments of a call: a dict."""

    __slots__ = ("call", "is_fetched", "is_filled")
    _half = 1

    def __init__(self, call: Call) -> None:
        # The encoder of json looks at the size of the dict below before it asks for items.
        super().__init__({"": None})
        self.call = call
        self.is_filled = self.is_fetched = False

    def _fill(self, values: dict[str, Any]) -> None:
        self._take(values)
        show_row(self, getattr(get_current_task(), "row_model", None))

    def _take(self, values: dict[str, Any]) -> None:
        self.is_filled = True
        dict.clear(self)
        dict.update(self, values)

    def _sent(self) -> dict[str, Any]:
        return {name: without_stand_ins(value) for name, value in dict.items(self)}

    @property
    def own(self) -> Reference | None:
        """The reference of ``self``, or of several rows, if the message has one."""
        return self.call.own()

    def keys(self) -> Any:
        """Return the names, for a call: Python asks for them before any value."""
        return dict.keys(self.unpacked())

    def items(self) -> Any:
        """Return names and values."""
        content = self.content()
        return for_json(content).items() if _is_asked_by_json() else dict.items(content)

    def __repr__(self) -> str:
        return repr(in_words(self.peek()))

    __sentry_repr__ = __repr__  # Sentry reads the items of mappings that have none


def fill(container: Any, change: Callable[[Any], Any]) -> None:
    """Change a list's or dict's values in place. Other containers stay as they are."""
    if isinstance(container, _Lazy):
        container.content()
    if isinstance(container, list):
        for place, value in enumerate(list(list.__iter__(container))):
            list.__setitem__(container, place, change(value))
    elif isinstance(container, dict):
        for name, value in list(dict.items(container)):
            dict.__setitem__(container, name, change(value))


def _fetch(call: Call, task: Any) -> None:
    """Put rows in the place of stand-ins, as another's task is about to begin."""
    request = task.request
    containers = [each for each in (request.args, request.kwargs) if isinstance(each, _Lazy)]
    change: Callable[[Any], Any] = without_stand_ins
    try:
        if call.frame() and isinstance(call.error, InvalidMessage):
            raise call.error
        found = call.references()
        rows = fetch_for(task, found, functools.partial(sent_by, request)) if found else []
        fetched = dict(zip(found, rows, strict=True))
        change = _same if call.begin(fetched) else Resolution(fetched, call)
    except Exception as error:
        call.error = error
        raise
    finally:
        for container in containers:
            container.is_fetched = True  # type: ignore[misc]
            fill(container, change)


def _same(value: Any) -> Any:
    return value


def sent_by(request: Any) -> tuple[Any, Any, str | None]:
    """Return the arguments of a task's message as they came, and their serializer, if it tells."""
    args, kwargs = (
        part.call.sent()[part._half] if isinstance(part, _Lazy) else without_stand_ins(part)
        for part in (request.args, request.kwargs)
    )
    lazy = request.args if isinstance(request.args, _Lazy) else request.kwargs
    return args, kwargs, lazy.call.decoder.name if isinstance(lazy, _Lazy) else None


def plainly(*parts: Any) -> tuple[Any, ...]:
    """Return parts of a message's body with references in place, if they came in a message."""
    return tuple(
        part.plainly(references=True) if isinstance(part, (_Lazy, LazyEmbed)) else part
        for part in parts
    )


def with_plain_containers(value: Any, *, references: bool) -> Any:
    """Return a value with lists and dicts in the place of the containers in it."""
    if isinstance(value, (_Lazy, LazyEmbed)):
        return value.plainly(references=references)
    if type(value) is dict:
        items = {
            name: with_plain_containers(item, references=references) for name, item in value.items()
        }
        return items if any(items[name] is not value[name] for name in value) else value
    if type(value) in (list, tuple):
        parts = [with_plain_containers(item, references=references) for item in value]
        return parts if any(map(operator.is_not, parts, value)) else value
    return value


@task_failure.connect(weak=False, dispatch_uid=f"{__name__}.failed")
@task_retry.connect(weak=False, dispatch_uid=f"{__name__}.retried")
def _note_end(sender: Any, request: Any = None, **about: Any) -> None:
    # Celery's consumer, which has no call that could have failed, sends the first as well.
    for part in ("args", "kwargs"):
        container = about.get(part) if request is None else getattr(request, part, None)
        if isinstance(container, _Lazy) and container.call.error is not None:
            container.call.has_failed = True


def _is_called_by_celery(task: Any) -> bool:
    """Whether Celery unpacks arguments for a task's function, and not a handler for itself."""
    frame = sys._getframe(3)
    is_trace = frame.f_globals.get("__name__") == "celery.app.trace"
    return is_trace and not hasattr(task, "shows_rows")


def _is_asked_by_json() -> bool:
    """Whether a JSON encoder reads the container, which would refuse the instances in it.

    Not ours that writes a call, with references.
    """
    frame = sys._getframe(2)
    if frame.f_globals.get("__name__") != "json.encoder":
        return False
    table = getattr(frame.f_locals.get("self"), "table", None)
    return not (table and table.is_call)


class LazyEmbed(Mapping[str, Any]):
    """The signatures that a message embeds (link, chain, chord), unread until needed.

    The consumer has no use for them, and their references stay references: they
    are only forwarded. Celery reads them outside of the task's ``try``, so one
    that cannot be read makes the call fail there, where it leaves a state.
    """

    __slots__ = ("_value", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._value: Mapping[str, Any] | None = None

    def _read(self) -> Mapping[str, Any]:
        if self._value is None:
            frame = self.call.frame()
            try:
                if frame.embed is None:
                    embed: Any = NO_EMBED
                else:
                    rows = all_from_wire(frame.wire)
                    embed = self.call.decoder.decode(frame.embed, rows, frame.mark)
                if not (isinstance(embed, dict) and embed.keys() <= NO_EMBED.keys()):
                    raise InvalidMessage("The message embeds something that is no canvas.")
                check_embed(embed, is_signed=self.call.decoder.is_signed)
                self._value = {**NO_EMBED, **embed}
            except INTERRUPTS:
                raise
            except Exception as error:
                self.call.break_off(unreadable("embedded signatures", self.call.decoder, error))
                self._value = NO_EMBED
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyEmbed, (self.call,)

    def plainly(self, *, references: bool) -> dict[str, Any]:
        """Return a dict that holds references, or else their text. Runs no query."""
        embed = dict(self._read())
        return embed if references else for_json(embed)

    def __json__(self) -> dict[str, Any]:
        return self.plainly(references=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
