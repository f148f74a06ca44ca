"""Task classes and a handler that read arguments before the method begins."""

from __future__ import annotations

from typing import Any

from celery import Task, signals

try:
    from pydantic import BaseModel

    HAS_PYDANTIC = True
except ImportError:  # in environments whose tests do without
    BaseModel, HAS_PYDANTIC = object, False


class ByName(Task):  # type: ignore[type-arg]
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Read an argument, and a field of the row, by name."""
        assert kwargs.get("carrier") == "dhl"
        assert kwargs["this"].count >= 0


class ByPosition(Task):  # type: ignore[type-arg]
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Read an argument by its place."""
        assert args[0] == "x"


class ByLoop(Task):  # type: ignore[type-arg]
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Read every argument, and each row's fields."""
        for value in args:
            assert value == "x"
        for name, value in kwargs.items():
            assert name == "carrier" or value.count >= 0


class OfNothing(Task):  # type: ignore[type-arg]
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Ask for an argument that is not there."""
        assert kwargs.get("absent") is None


class Calling(Task):  # type: ignore[type-arg]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Read a field of the row where Celery calls the task."""
        assert kwargs["this"].count >= 0
        assert [*args] == ["x"]
        return super().__call__(*args, **kwargs)


class All(ByName, Calling):
    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Read everything there is."""
        request = self.request
        for one, other in ((args, kwargs), (request.args, request.kwargs)):
            assert list(one) == ["x"]
            assert other["this"].count >= 0
            assert {**other} == dict(other)
            assert "this" in other
        kwargs["this"].refresh_from_db()


class Address(BaseModel):
    """What pydantic makes of a dict."""

    city: str


def install() -> None:
    """Read a field of each row that a method of ``add_by_prerun`` is to run on."""
    signals.task_prerun.connect(_on_prerun, weak=False, dispatch_uid=__name__)


def _on_prerun(task: Any, args: Any, kwargs: Any, **about: Any) -> None:
    if task.name.endswith(".add_by_prerun"):
        this = kwargs["this"]
        # Under Celery's own json it is a key, or the row's plain form.
        assert type(this) in (int, dict) or this.count >= 0
        assert [*args] == ["x"]
