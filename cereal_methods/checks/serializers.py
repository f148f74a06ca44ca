"""Checks of the serializers of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.core.checks import CheckMessage, Error

from .. import conf
from ..entry_points import (
    CEREAL_JSON,
    CEREAL_MSGPACK,
    CEREAL_PICKLE,
    CEREAL_YAML,
    DJANGO_CEREAL_PICKLE,
)
from .accepted import accept_content, accepts, unusable
from .registry import celery_apps, named, never_raising, own_tasks

#: The serializers that sign where ``REQUIRE_SIGNED`` is set, and Celery's own that does.
_SIGNING: Final = frozenset(
    {CEREAL_PICKLE, CEREAL_JSON, CEREAL_YAML, CEREAL_MSGPACK, DJANGO_CEREAL_PICKLE, "auth"}
)

#: The hint for a task that uses plain pickle.
_SIGNED: Final = (
    "Use serializer='cereal-pickle'. A worker that accepts plain pickle runs any code that it is "
    "sent."
)


@never_raising
def check_serializers(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E002, E003 and E012: serializers that workers do not accept, or that cannot be used."""
    apps = celery_apps()
    by_serializer: dict[str, list[Any]] = {}
    for task in own_tasks(apps[0]) if apps else ():
        by_serializer.setdefault(str(task.serializer), []).append(task)
    for name, tasks in sorted(by_serializer.items()):
        if (problem := unusable(name)) is not None:
            reason, remedy = problem
            yield Error(
                f"{named(tasks)} cannot be sent: the serializer {name!r} {reason}.",
                hint=remedy,
                id="cereal_methods.E003",
            )
        elif not _is_accepted(apps, name):
            yield Error(
                f"{named(tasks)} cannot be sent: accept_content lacks the serializer {name!r}, so "
                "workers would drop the messages.",
                hint=accept_content(apps[0]) if name != "pickle" else _SIGNED,
                id="cereal_methods.E002",
            )

    if not conf.problems() and conf.get("REQUIRE_SIGNED"):
        yield from _unsigned(apps, by_serializer)
    for app in apps:
        name = str(app.conf.task_serializer)
        if name.startswith("cereal-") and unusable(name) is None and not _is_accepted(apps, name):
            yield Error(
                "Tasks without a serializer of their own cannot be sent: accept_content lacks "
                f"task_serializer, {name!r}, so workers would drop the messages.",
                hint=accept_content(app),
                id="cereal_methods.E002",
            )


def _unsigned(apps: list[Any], by_serializer: dict[str, list[Any]]) -> Iterator[CheckMessage]:
    """E012: serializers that do not sign, although ``REQUIRE_SIGNED`` is set."""
    for name, tasks in sorted(by_serializer.items()):
        if name not in _SIGNING:
            yield Error(
                f"Workers would refuse the messages of {named(tasks)}: the serializer {name!r} "
                "does not sign, and CEREAL_METHODS['REQUIRE_SIGNED'] is True.",
                hint="Use serializer='cereal-json', or leave the option out.",
                id="cereal_methods.E012",
            )
    for app in apps:
        name = str(app.conf.task_serializer)
        if name not in _SIGNING:
            yield Error(
                "Workers would refuse Celery's own tasks, such as celery.chord_unlock and "
                f"celery.map: task_serializer, {name!r}, does not sign, and "
                "CEREAL_METHODS['REQUIRE_SIGNED'] is True.",
                hint="CELERY_TASK_SERIALIZER = 'cereal-json'",
                id="cereal_methods.E012",
            )


def _is_accepted(apps: list[Any], name: str) -> bool:
    return any(accepts(app.conf.accept_content, name) for app in apps)
