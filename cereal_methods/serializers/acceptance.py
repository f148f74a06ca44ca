"""Whether anybody accepts what a serializer writes, asked before a message is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from celery import current_app
from celery._state import _get_active_apps, get_current_app  # type: ignore[attr-defined]
from django.core.signals import setting_changed
from kombu.serialization import (  # type: ignore[attr-defined]
    prepare_accept_content,
    registry,
)

from ..exceptions import SerializerNotAccepted

_PICKLE: Final = frozenset({"pickle", "application/x-python-serialize"})


def check_accepted(name: str) -> None:
    """Raise ``SerializerNotAccepted`` if no app of this process takes a serializer's messages."""
    conf = get_current_app().conf
    if _accepting.get(name) is conf:
        return
    content_type = registry.name_to_type.get(name, name)
    apps = list(_get_active_apps()) or [current_app]
    if not any(content_type in _accepted(app) for app in apps):
        accepted = [*without_pickle(apps[0].conf.accept_content), name]
        if all(app.main == "default" for app in apps):  # what Celery makes where there is none
            raise SerializerNotAccepted(
                f"No Celery app is loaded here, so nothing can be sent with {name!r}. Import the "
                "project's in the __init__.py beside its celery.py, so that it comes with Django: "
                "from .celery import app",
                name,
            )
        if name in _PICKLE:
            raise SerializerNotAccepted(
                f"Workers would drop this message: accept_content lacks {name!r}, and it should, "
                "as plain pickle runs the code of whoever sends it. Use "
                "serializer='cereal-pickle'.",
                name,
            )
        raise SerializerNotAccepted(
            f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
            f"settings: CELERY_ACCEPT_CONTENT = {accepted!r}",
            name,
        )
    _accepting[name] = conf


# By serializer, the configuration in which it was last found to be accepted: looking that
# up takes longer than encoding a message.
_accepting: Final[dict[str, Any]] = {}
setting_changed.connect(lambda **kwargs: _accepting.clear(), weak=False)


def without_pickle(accepted: Iterable[str]) -> list[str]:
    """Return what is accepted but plain pickle, which runs the code of whoever sends it."""
    return [name for name in accepted if name not in _PICKLE]


def check_foreign(name: str) -> None:
    """Do what ``check_accepted`` does for serializers that do not do so by themselves."""
    if not name.startswith("cereal-"):
        check_accepted(name)


def _accepted(app: Any) -> Any:
    return prepare_accept_content(app.conf.accept_content)
