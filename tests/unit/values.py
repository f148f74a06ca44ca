"""Classes whose instances only pickle can carry."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.shop.models import Order


class Box:
    """Holds something, out of sight of anything but pickle."""

    def __init__(self, content: Any) -> None:
        self.content = content


class Trap:
    """Tells when it is unpickled."""

    sprung: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return Trap.spring, (self.name,)

    @classmethod
    def spring(cls, name: str) -> Trap:
        """Note that it was unpickled."""
        cls.sprung.append(name)
        return cls(name)


class OrderBox(Box):
    """A box that compares by what is in it."""

    content: Order

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OrderBox) and other.content == self.content

    __hash__ = None  # type: ignore[assignment]
