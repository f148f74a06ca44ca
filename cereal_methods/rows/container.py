"""What the rooms below ``running`` know of a message's arguments."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reference import Reference


class ArgumentContainer:
    """A message's args, kwargs or embed, which are decoded when they are first read.

    ``running`` has the subclasses. Encoders call these methods for what they may write. None of
    them runs a query.
    """

    __slots__ = ()

    #: The message's call, which its containers share.
    call: Any

    def with_references(self) -> Any:
        """Return the content as it was sent, with references in place of rows."""
        raise NotImplementedError

    def for_json(self) -> Any:
        """Return the content as JSON can show it, with the plain forms of references."""
        raise NotImplementedError

    def safe_view(self) -> Any:
        """Return the content for logs and monitors, without importing classes of the user's."""
        return self.with_references()

    @property
    def own_reference(self) -> Reference | None:
        """The reference of ``self``, or of a batch's rows, if these are kwargs that have one."""
        return None


def with_references(*parts: Any) -> tuple[Any, ...]:
    """Return parts of a message's body, with the content of containers as it was sent."""
    return tuple(
        part.with_references() if isinstance(part, ArgumentContainer) else part for part in parts
    )


def with_plain_containers(value: Any, *, references: bool) -> Any:
    """Return a value with lists and dicts in place of the containers in it.

    They hold references, or the plain forms of references.
    """
    if isinstance(value, ArgumentContainer):
        return value.with_references() if references else value.for_json()
    if type(value) is dict:
        items = {
            name: with_plain_containers(item, references=references) for name, item in value.items()
        }
        return items if any(items[name] is not value[name] for name in value) else value
    if type(value) in (list, tuple):
        parts = [with_plain_containers(item, references=references) for item in value]
        return parts if any(map(operator.is_not, parts, value)) else value
    return value
