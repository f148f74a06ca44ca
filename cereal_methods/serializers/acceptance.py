"""Whether an app of this process accepts a serializer, checked before a message is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..celery_api.kombu import accepted_types, content_type_of
from ..celery_api.tasks import active_apps, get_current_app, is_fallback
from ..django_api.databases import setting_changed
from ..exceptions import SerializerNotAccepted

#: The names of plain pickle in ``accept_content``.
_PICKLE: Final = frozenset({"pickle", "application/x-python-serialize"})

#: The configuration in which a serializer was last accepted, by serializer. Looking it up in the
#: configuration takes longer than encoding a message.
_accepting: Final[dict[str, Any]] = {}
setting_changed.connect(lambda **kwargs: _accepting.clear(), weak=False)


def check_accepted(name: str) -> None:
    """Raise ``SerializerNotAccepted`` if no app of this process accepts a serializer.

    Workers usually have the same settings as this process.
    """
    conf = get_current_app().conf
    if _accepting.get(name) is conf:
        return
    content_type = content_type_of(name)
    apps = active_apps() or [get_current_app()]
    if not any(content_type in accepted_types(app.conf.accept_content) for app in apps):
        accepted = [*without_pickle(apps[0].conf.accept_content), name]
        if all(map(is_fallback, apps)):
            raise SerializerNotAccepted(
                f"No Celery app is loaded here, so messages cannot be sent with {name!r}. Import "
                "the project's app in the __init__.py beside its celery.py, so that Django loads "
                "it: from .celery import app",
                name,
            )
        if name in _PICKLE:
            raise SerializerNotAccepted(
                f"Workers would drop this message: accept_content lacks {name!r}, as it should, "
                "because plain pickle runs the sender's code. Use serializer='cereal-pickle'.",
                name,
            )
        raise SerializerNotAccepted(
            f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
            f"settings: CELERY_ACCEPT_CONTENT = {accepted!r}",
            name,
        )
    _accepting[name] = conf


def without_pickle(accepted: Iterable[str]) -> list[str]:
    """Return the accepted content without plain pickle, which runs the sender's code."""
    return [name for name in accepted if name not in _PICKLE]


def check_foreign(name: str) -> None:
    """Do what ``check_accepted`` does for serializers that are not this library's.

    This library's check it while they encode.
    """
    if not name.startswith("cereal-"):
        check_accepted(name)
