"""The serializers that can be used here, and the settings that accept them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

from ..celery_api.kombu import accepted_types, content_type_of, serializer_names
from ..serializers.acceptance import without_pickle
from .registry import own_tasks

#: The package that a serializer needs, and the requirement that installs it.
_PACKAGES: Final = {
    "yaml": ("yaml", "PyYAML"),
    "msgpack": ("msgpack", "msgpack"),
    "cereal-yaml": ("yaml", "django-cereal-methods[yaml]"),
    "cereal-msgpack": ("msgpack", "django-cereal-methods[msgpack]"),
}


def unusable(name: str) -> tuple[str, str] | None:
    """Return why a serializer cannot be used, and the remedy; None if it can."""
    if name not in serializer_names():
        names = ", ".join(sorted(name for name in serializer_names() if name != "pickle"))
        return "does not exist", f"Correct the name. The serializers are {names}."
    package, requirement = _PACKAGES.get(name, ("", ""))
    if package and find_spec(package) is None:
        return f"needs the package {package!r}", f"python -m pip install '{requirement}'"
    return None


def accepts(accepted: Any, name: str) -> bool:
    """Whether a list of names and content types contains a serializer."""
    # kombu raises for a name that it does not know.
    usable = [entry for entry in accepted if "/" in entry or entry in serializer_names()]
    return content_type_of(name) in accepted_types(usable)


def accept_content(app: Any, *more: str) -> str:
    """Return the setting that accepts everything that the app sends.

    It is the same in the hints of all checks.
    """
    names = [str(task.serializer) for task in own_tasks(app)]
    names.append(str(app.conf.task_serializer))
    if app.conf.result_backend and app.conf.result_accept_content is None:
        names.append(str(app.conf.result_serializer))
    return f"CELERY_ACCEPT_CONTENT = {_extended(app.conf.accept_content, [*names, *more])!r}"


def result_accept_content(app: Any, *more: str) -> str:
    """Return the setting that accepts the app's results."""
    if app.conf.result_accept_content is None:
        return accept_content(app, *more)
    names = _extended(app.conf.result_accept_content, [str(app.conf.result_serializer), *more])
    return f"CELERY_RESULT_ACCEPT_CONTENT = {names!r}"


def _extended(accepted: Any, names: list[str]) -> list[str]:
    """Return a list of accepted serializers with more names, and without plain pickle."""
    extended = without_pickle(accepted)
    for name in names:
        if name != "pickle" and unusable(name) is None and not accepts(extended, name):
            extended.append(name)
    return extended
