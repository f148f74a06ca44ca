"""Arguments that did not come in one of our serializers, as hooks and methods see them.

Celery hands the list and dict that its own serializers decode to its signals as they came.
Hooks have containers of their own, which hold rows and which JSON can show all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .arguments import _is_asked_by_json, fill
from .resolutions import for_json, in_words


class ShownArgs(list[Any]):
    """Positional arguments: a list that JSON encoders see with the plain forms of rows."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(for_json(self)) if _is_asked_by_json() else list.__iter__(self)

    def __json__(self) -> Any:
        return for_json(self)

    def __repr__(self) -> str:
        return repr(in_words(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list.copy(self),)


class ShownKwargs(dict[str, Any]):
    """Keyword arguments: a dict that JSON encoders see with the plain forms of rows."""

    __slots__ = ()

    def items(self) -> Any:
        """Return names and values."""
        return for_json(self).items() if _is_asked_by_json() else dict.items(self)

    def __json__(self) -> Any:
        return for_json(self)

    def __repr__(self) -> str:
        return repr(in_words(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict.copy(self),)


def shown(container: Any) -> Any:
    """Return a list, tuple or dict as a container of ours. Other containers stay as they are."""
    if type(container) in (list, tuple):
        return ShownArgs(container)
    return ShownKwargs(container) if type(container) is dict else container


def show_in(request: Any, change: Callable[[Any], Any]) -> None:
    """Change the values of a request's arguments, and leave alone what Celery's signals see."""
    request.args, request.kwargs = shown(request.args), shown(request.kwargs)
    fill(request.args, change)
    fill(request.kwargs, change)


def take_changes(container: Any, before: Any, after: Any) -> None:
    """Do to Celery's own list or dict what a hook has done to the one that it was shown."""
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
