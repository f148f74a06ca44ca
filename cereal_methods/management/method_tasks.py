"""The method tasks of the installed models, and the one that a name means."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import CommandError

from .. import tasks
from ..methods import ModelTask
from ..policies import RowPolicy, policy_of

if TYPE_CHECKING:
    from django.db import models


@dataclass(frozen=True, slots=True)
class MethodTask:
    """A method that is a Celery task: ``shop.Order.ship``."""

    model: type[models.Model]
    path: str
    #: What the method is called on: ``"row"``, ``"class"`` or ``"manager"``.
    runs_on: str
    task: Any
    aliases: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name by which commands know it: the model's label, and the method."""
        return f"{self.model._meta.label}.{self.path}"

    @property
    def description(self) -> str:
        """The first line of the method's docstring."""
        return (inspect.getdoc(self.task.run) or "").partition("\n")[0]

    @property
    def policy(self) -> RowPolicy:
        """How the task fetches its row, and what it does when it cannot."""
        return policy_of(self.task)

    @property
    def on_commit(self) -> bool:
        """Whether it is sent when the transaction commits."""
        return tasks.waits_for_commit(self.task)

    @property
    def queue(self) -> str | None:
        """The queue that the current app sends it to; None if its routing does not tell."""
        options = dict(self.task._get_exec_options())
        try:
            found = self.task.app.amqp.router.route(options, self.task.name, (), {}, self.task)
        except Exception:
            # No such queue, or a router that decides by arguments, which are not there.
            return None
        queue = found.get("queue")
        return None if queue is None else str(queue.name)


def method_tasks() -> list[MethodTask]:
    """Return the method tasks of all installed models, by their labels."""
    found: dict[str, MethodTask] = {}
    for model in apps.get_models():
        for each in _of_model(model):
            found.setdefault(each.task.name, each)
    return sorted(found.values(), key=lambda each: each.label)


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
        *(each for each in known if each.task.name == name or name in each.aliases),
    ):
        if each.runs_on != "row":
            raise _without_rows(each.label, each.runs_on)
        return each.model, each.task, each.label
    app_label, _, rest = name.partition(".")
    model_name, _, method = rest.partition(".")
    if not method or "." in method:
        others = _near(name, _names(known)) or " manage.py model_tasks lists them."
        raise CommandError(
            f"{name!r} names no method task. Write app_label.Model.method, or the name of the "
            f"Celery task.{others}"
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
    others = f" Its method tasks are {', '.join(own)}." if own else " It has no method tasks."
    raise CommandError(wrong + (_near(method, own) or others))


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
        near = _near(label, known) or f" Installed are {', '.join(sorted(known))}."
        raise CommandError(f"No installed app has the label {label!r}.{near}") from None


def _model(app_label: str, name: str) -> type[models.Model]:
    config = _app(app_label)
    try:
        found: type[models.Model] = config.get_model(name)
    except LookupError:
        known = [model.__name__ for model in config.get_models()]
        others = f" Its models are {', '.join(sorted(known))}." if known else " It has no models."
        near = _near(name, known) or others
        raise CommandError(f"The app {app_label!r} has no model {name!r}.{near}") from None
    return found


def _names(known: Iterable[MethodTask]) -> dict[str, str]:
    """Return what may be meant for a row's method, by what may be written."""
    on_rows = [each for each in known if each.runs_on == "row"]
    return {
        **{each.path: each.label for each in reversed(on_rows)},
        **{each.task.name: each.task.name for each in on_rows},
        **{each.label: each.label for each in on_rows},
    }


def _near(name: str, known: Mapping[str, str] | Sequence[str]) -> str:
    """Return a question for what the name that is most like one means, or nothing."""
    means = known if isinstance(known, Mapping) else {each: each for each in known}
    spelled = {each.lower(): means[each] for each in means}
    near = difflib.get_close_matches(name.lower(), spelled, n=1)
    return f" Did you mean {spelled[near[0]]!r}?" if near else ""


def _of_model(model: type[models.Model]) -> Iterator[MethodTask]:
    owners: list[tuple[Any, str | None]] = [(model, None)]
    owners += [(type(manager), manager.name) for manager in model._meta.managers]
    for owner, manager in owners:
        for name in dir(owner):
            found = inspect.getattr_static(owner, name)
            # A method may have two names; the one by which it was registered is its own.
            if not isinstance(found, ModelTask) or found._self_attribute != name:
                continue
            if model not in found._self_models:  # a parent's task runs for it
                continue
            inherits = any(
                parent is not model and issubclass(model, parent) for parent in found._self_models
            )
            runs_on = "manager" if manager else "row" if found.takes_row() else "class"
            yield MethodTask(
                model,
                name if manager is None else f"{manager}.{name}",
                runs_on,
                tasks.find(found.task_name(model, manager)),
                () if inherits else tuple(found._self_options.get("aliases", ())),
            )
