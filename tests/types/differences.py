"""Where type checkers differ, or cannot know, and what helps."""

from __future__ import annotations

from typing import Self, TypeVar, assert_type

from celery.result import AsyncResult
from django.db import models

from cereal_methods import model_task

T = TypeVar("T")


class Node(models.Model):
    # mypy knows nothing of a method that names Self. Name the class.

    @model_task
    def parent(self, generation: int) -> Self:
        return self

    @model_task
    def join(self, *others: Self) -> list[str]:
        return [str(other) for other in others]

    @model_task
    @classmethod
    def root(cls, number: int) -> Self:
        return cls()

    @model_task
    @classmethod
    def roots(cls) -> list[Self]:
        return [cls()]

    # mypy wants other names than self and cls to be positional, beside **kwargs.

    @model_task
    def paint(node, /, **colours: int) -> int:  # noqa: N805
        return len(colours)

    @model_task  # type: ignore[arg-type]
    def draw(node, **colours: int) -> int:  # noqa: N805
        return len(colours)

    @model_task
    @staticmethod
    def mix(first: str, /, **colours: int) -> int:
        return len(colours)

    # The first parameter of a static method is positional.

    @model_task
    @staticmethod
    def parse(text: str, base: int = 10) -> int:
        return int(text, base)

    # mypy cannot send a method with type variables of its own.

    @model_task
    def echo(self, value: T) -> T:
        return value


def self_type(node: Node) -> None:
    assert_type(node.parent.delay(1), AsyncResult[Node])  # type: ignore[assert-type]
    assert_type(node.parent(1), Node)  # type: ignore[assert-type]
    assert_type(Node.parent.delay(node, 1), AsyncResult[Node])  # type: ignore[assert-type]
    node.parent.delay("1")  # pyright: ignore[reportArgumentType]
    assert_type(node.join.delay(node), AsyncResult[list[str]])  # type: ignore[assert-type]
    assert_type(Node.root.delay(1), AsyncResult[Node])  # type: ignore[assert-type]
    assert_type(node.roots.delay(), AsyncResult[list[Node]])  # type: ignore[assert-type]
    assert_type(Node.roots.delay(), AsyncResult[list[Node]])  # type: ignore[assert-type]


def named_arguments(node: Node) -> None:
    assert_type(node.paint.delay(red=1).get(), int)
    node.paint.delay(red="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(node.draw.delay(red=1).get(), int)
    assert_type(Node.mix.delay("x", red=1).get(), int)


def static_methods() -> None:
    assert_type(Node.parse.delay("1").get(), int)
    Node.parse.delay(text="1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def type_variables(node: Node) -> None:
    node.echo.delay(1)  # type: ignore[arg-type]


class Base:
    def ship(self, carrier: str) -> str:
        return carrier


class Child(Base, models.Model):
    # To pyright a method task overrides no plain method.

    @model_task
    def ship(self, carrier: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return carrier
