"""Whether messages and results can be written and read."""

from __future__ import annotations

import types
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final, get_args, get_type_hints

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import models
from kombu.serialization import (  # type: ignore[attr-defined]
    prepare_accept_content,
    registry,
)

from ..serializers.acceptance import without_pickle
from .registry import celery_apps, named, never_raising, own_tasks

#: The package that a serializer needs, and what it is installed with.
_PACKAGES: Final = {
    "yaml": ("yaml", "PyYAML"),
    "msgpack": ("msgpack", "msgpack"),
    "cereal-yaml": ("yaml", "django-cereal-methods[yaml]"),
    "cereal-msgpack": ("msgpack", "django-cereal-methods[msgpack]"),
}

#: What plain pickle gives way to.
_SIGNED: Final = (
    "Use serializer='cereal-pickle': a worker that accepts plain pickle runs the code of whoever "
    "sends it."
)

#: Serializers of results that carry no instance, and none in the place of one.
_WITHOUT_INSTANCES: Final = frozenset({"json", "yaml", "msgpack"})


@never_raising
def check_celery(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W007, E009 and W009: no Celery app, or one that sends badly."""
    apps = celery_apps()
    if not apps:
        yield CheckWarning(
            "This process has no Celery app: tasks would be sent by Celery's default one, to a "
            "broker on this machine, without the project's settings.",
            hint="Import the app where the project begins: 'from .celery import app' in the "
            "__init__.py beside settings.py.",
            id="cereal_methods.W007",
        )
    for app in apps:
        if app.conf.task_protocol == 1:
            yield Error(
                f"The Celery app {app.main!r} sends messages of protocol 1, which cereal "
                "serializers cannot write.",
                hint="Remove CELERY_TASK_PROTOCOL from the settings: 2 is Celery's default.",
                id="cereal_methods.E009",
            )
        options = app.conf.broker_transport_options or {}
        if _is_amqp(app) and not options.get("confirm_publish") and any(own_tasks(app)):
            yield CheckWarning(
                f"The Celery app {app.main!r} does not ask RabbitMQ to confirm what it sends: a "
                "message that RabbitMQ refuses or cannot route is lost, and delay() raises "
                "nothing.",
                hint="CELERY_BROKER_TRANSPORT_OPTIONS = {'confirm_publish': True}",
                id="cereal_methods.W009",
            )


def _is_amqp(app: Any) -> bool:
    """Whether an app sends by AMQP, by its settings: nothing is connected to."""
    urls = app.conf.broker_write_url or app.conf.broker_url or "amqp://"
    first = (urls.split(";") if isinstance(urls, str) else [*urls])[0]
    transport = app.conf.broker_transport or str(first).partition("://")[0]
    return transport in ("amqp", "amqps", "pyamqp", "librabbitmq")


@never_raising
def check_serializers(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E002 and E003: serializers of tasks that workers drop, or that cannot be used."""
    apps = celery_apps()
    by_serializer: dict[str, list[Any]] = {}
    for task in own_tasks(apps[0]) if apps else ():
        by_serializer.setdefault(str(task.serializer), []).append(task)
    for name, tasks in sorted(by_serializer.items()):
        wrong = _unusable(name)
        if wrong is not None:
            fact, hint = wrong
            yield Error(
                f"{named(tasks)} cannot be sent: the serializer {name!r} {fact}.",
                hint=hint,
                id="cereal_methods.E003",
            )
        elif not _is_accepted(apps, name):
            yield Error(
                f"{named(tasks)} cannot be sent: accept_content lacks their serializer {name!r}, "
                "and workers would drop the messages.",
                hint=_accepting(apps[0]) if name != "pickle" else _SIGNED,
                id="cereal_methods.E002",
            )

    for app in apps:
        name = str(app.conf.task_serializer)
        if name.startswith("cereal-") and _unusable(name) is None and not _is_accepted(apps, name):
            yield Error(
                f"Tasks that name no serializer cannot be sent: accept_content lacks "
                f"task_serializer, {name!r}, and workers would drop the messages.",
                hint=_accepting(app),
                id="cereal_methods.E002",
            )


@never_raising
def check_results(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E003, E004 and W001: results that cannot be written, read, or hold their instances."""
    for app in celery_apps():
        name = str(app.conf.result_serializer)
        if not app.conf.result_backend:
            continue
        if (wrong := _unusable(name)) is not None:
            fact, hint = wrong
            yield Error(
                f"No result can be kept: result_serializer is {name!r}, which {fact}.",
                hint=hint,
                id="cereal_methods.E003",
            )
            continue
        accepted, option = app.conf.result_accept_content, "result_accept_content"
        if accepted is None:
            accepted, option = app.conf.accept_content, "accept_content"
        if name.replace("_", "-").startswith(("cereal-", "django-cereal")) and not _accepts(
            accepted, name
        ):
            yield Error(
                f"Results cannot be read: {option} lacks {name!r}, in which they are written.",
                hint=_accepting_results(app),
                id="cereal_methods.E004",
            )
        if name in _WITHOUT_INSTANCES:
            returning = [task for task in own_tasks(app) if not _ignores(task) and _returns(task)]
            if returning:
                yield CheckWarning(
                    f"{named(returning)} returns model instances by its annotation, which the "
                    f"result_serializer {name!r} cannot carry: the task would fail, after its "
                    "work.",
                    hint=_keeping_instances(app),
                    id="cereal_methods.W001",
                )


def _unusable(name: str) -> tuple[str, str] | None:
    """Return why a serializer cannot be used, and the remedy."""
    if name not in registry.name_to_type:
        known = ", ".join(sorted(name for name in registry.name_to_type if name != "pickle"))
        return "does not exist", f"Correct the name. Known are {known}."
    package, distribution = _PACKAGES.get(name, ("", ""))
    if package and find_spec(package) is None:
        return f"needs the package {package!r}", f"python -m pip install '{distribution}'"
    return None


def _accepting(app: Any, *more: str) -> str:
    """Return the setting that accepts all that is sent: the same, whichever check shows it."""
    names = [str(task.serializer) for task in own_tasks(app)]
    names.append(str(app.conf.task_serializer))
    if app.conf.result_backend and app.conf.result_accept_content is None:
        names.append(str(app.conf.result_serializer))
    return f"CELERY_ACCEPT_CONTENT = {_with(app.conf.accept_content, [*names, *more])!r}"


def _accepting_results(app: Any, *more: str) -> str:
    """Return the setting that accepts the results, which is that of all where there is one."""
    if app.conf.result_accept_content is None:
        return _accepting(app, *more)
    names = _with(app.conf.result_accept_content, [str(app.conf.result_serializer), *more])
    return f"CELERY_RESULT_ACCEPT_CONTENT = {names!r}"


def _keeping_instances(app: Any) -> str:
    """Return the settings under which results may hold instances."""
    accepting = _accepting_results(app, "cereal-json")
    return (
        f"CELERY_RESULT_SERIALIZER = 'cereal-json' and {accepting}, or the same with "
        "'cereal-pickle'. Or ignore_result=True on the task."
    )


def _with(accepted: Any, names: list[str]) -> list[str]:
    """Return what is accepted and what is to be, without plain pickle, which runs any code."""
    found = without_pickle(accepted)
    for name in names:
        if name != "pickle" and _unusable(name) is None and not _accepts(found, name):
            found.append(name)
    return found


def _is_accepted(apps: list[Any], name: str) -> bool:
    return any(_accepts(app.conf.accept_content, name) for app in apps)


def _accepts(accepted: Any, name: str) -> bool:
    # Names that kombu does not know would make it raise.
    known = [each for each in accepted if "/" in each or each in registry.name_to_type]
    return registry.name_to_type[name] in (prepare_accept_content(known) or ())


def _ignores(task: Any) -> bool:
    return bool(task.ignore_result)


def _returns(task: Any) -> bool:
    """Tell whether a task returns instances, by the annotation of its function."""
    function = task.run
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    function = getattr(function, "__func__", function)
    annotation = getattr(function, "__annotations__", {}).get("return")
    if annotation is None:
        return False
    model = getattr(task, "row_model", None)
    local = {} if model is None else {model.__name__: model, "Self": model}
    holder: Any = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        found = get_type_hints(holder, getattr(function, "__globals__", {}), local)["return"]
    except Exception:  # what is imported for type checkers alone is not there
        return False
    return _holds_model(found)


def _holds_model(found: Any) -> bool:
    if isinstance(found, type) and issubclass(found, (models.Model, models.QuerySet)):
        return True
    if getattr(found, "_name", "") == "Self":  # that of typing, or of typing_extensions
        return True
    origin = getattr(found, "__origin__", None)
    if origin is not None and origin is not found and _holds_model(origin):
        return True
    return any(_holds_model(part) for part in get_args(found))
