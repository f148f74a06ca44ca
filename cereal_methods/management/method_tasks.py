"""The method tasks of the installed models, and the one with a name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import CommandError

from ..sending.descriptor import ModelTask
from ..sending.method_tasks import MethodTask, method_tasks
from ..suggestions import did_you_mean, nearest

if TYPE_CHECKING:
    from django.db import models


def narrow(names: Iterable[str], among: Iterable[MethodTask]) -> list[MethodTask]:
    """Return those of apps (``shop``) and models (``shop.Order``).

    Raises ``CommandError`` for a name that is neither.
    """
    wanted = {model for name in names for model in _models_of(name)}
    return [each for each in among if each.model in wanted]


def find(name: str) -> tuple[type[models.Model], Any, str]:
    """Return model, Celery task and label of a method that runs on rows.

    ``name`` is ``app_label.Model.method``, or the name of the Celery task. Raises
    ``CommandError`` if there is none, with the names that are nearest.
    """
    known = method_tasks()
    for each in (
        *(each for each in known if each.label == name),
        *(each for each in known if each.name == name or name in each.aliases),
    ):
        if each.runs_on != "row":
            raise _without_rows(each.label, each.runs_on)
        return each.model, each.task, each.label
    app_label, _, rest = name.partition(".")
    model_name, _, method = rest.partition(".")
    if not method or "." in method:
        meanings = _names(known)
        near = nearest(name, meanings)
        hint = f"Did you mean {meanings[near]!r}?" if near else "manage.py model_tasks lists them."
        raise CommandError(
            f"{name!r} names no method task. Write app_label.Model.method, or the name of the "
            f"Celery task. {hint}"
        )
    model = _model(app_label, model_name)
    return _method(model, method, known)


def _method(
    model: type[models.Model], method: str, known: list[MethodTask]
) -> tuple[type[models.Model], Any, str]:
    label = f"{model._meta.label}.{method}"
    attribute = inspect.getattr_static(model, method, None)
    if isinstance(attribute, ModelTask):
        # The task of a parent, whose name= is also its children's, or a model in other case.
        if not attribute.takes_row():
            raise _without_rows(label, "class")
        return model, getattr(model, method).task, label
    own = [each.path for each in known if each.model is model and each.runs_on == "row"]
    if attribute is None:
        wrong = f"{model._meta.label} has no method {method!r}."
    else:
        wrong = f"{label} is no method task: @model_task does not stand on it."
    others = f"Its method tasks are {', '.join(own)}." if own else "It has no method tasks."
    raise CommandError(f"{wrong} {did_you_mean(method, own, others)}")


def _without_rows(label: str, runs_on: str) -> CommandError:
    return CommandError(
        f"{label} is a method of a {runs_on}, which has no rows to run on. Send it with delay(), "
        "from code."
    )


def _models_of(name: str) -> list[type[models.Model]]:
    app_label, dot, model_name = name.partition(".")
    if dot:
        return [_model(app_label, model_name)]
    return list(_app(app_label).get_models())


def _app(label: str) -> Any:
    try:
        return apps.get_app_config(label)
    except LookupError:
        known = [config.label for config in apps.get_app_configs()]
        hint = did_you_mean(label, known, f"Installed are {', '.join(sorted(known))}.")
        raise CommandError(f"No installed app has the label {label!r}. {hint}") from None


def _model(app_label: str, name: str) -> type[models.Model]:
    config = _app(app_label)
    try:
        found: type[models.Model] = config.get_model(name)
    except LookupError:
        known = [model.__name__ for model in config.get_models()]
        others = f"Its models are {', '.join(sorted(known))}." if known else "It has no models."
        hint = did_you_mean(name, known, others)
        raise CommandError(f"The app {app_label!r} has no model {name!r}. {hint}") from None
    return found


def _names(known: Iterable[MethodTask]) -> dict[str, str]:
    """Return what may be meant for a row's method, by what may be written."""
    on_rows = [each for each in known if each.runs_on == "row"]
    return {
        **{each.path: each.label for each in reversed(on_rows)},
        **{each.name: each.name for each in on_rows},
        **{each.label: each.label for each in on_rows},
    }
