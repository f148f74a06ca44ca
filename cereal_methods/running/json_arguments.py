"""Arguments that hold rows, and that JSON encoders can write all the same.

Celery's own serializers decode arguments to a plain list and dict. Tasks and their hooks are
given these in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..rows.text import for_json, for_repr
from .readers import is_read_by_json


class JSONArgs(list[Any]):
    """Positional arguments. JSON encoders see the plain forms of rows."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(for_json(self)) if is_read_by_json(2) else list.__iter__(self)

    def change_values(self, change: Callable[[Any], Any]) -> None:
        """Replace each value by what ``change`` returns for it."""
        self[:] = map(change, list.__iter__(self))

    def __json__(self) -> Any:
        return for_json(self)

    def __repr__(self) -> str:
        return repr(for_repr(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list.copy(self),)


class JSONKwargs(dict[str, Any]):
    """Keyword arguments. JSON encoders see the plain forms of rows."""

    __slots__ = ()

    def items(self) -> Any:
        """Return names and values."""
        return for_json(self).items() if is_read_by_json(2) else dict.items(self)

    def change_values(self, change: Callable[[Any], Any]) -> None:
        """Replace each value by what ``change`` returns for it."""
        for name, value in dict.items(self):
            self[name] = change(value)

    def __json__(self) -> Any:
        return for_json(self)

    def __repr__(self) -> str:
        return repr(for_repr(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict.copy(self),)


def json_arguments(container: Any) -> Any:
    """Return a list, tuple or dict as ``JSONArgs`` or ``JSONKwargs``, and all else as it is."""
    if type(container) in (list, tuple):
        return JSONArgs(container)
    return JSONKwargs(container) if type(container) is dict else container
