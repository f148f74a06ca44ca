"""The library's settings: one dict, ``CEREAL_METHODS``, in Django's settings.

They are read when they are used, so ``override_settings`` works as usual.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

#: The settings and their defaults.
DEFAULTS: Final[Mapping[str, Any]] = {
    # The serializer of tasks made with @model_task and @task.
    "SERIALIZER": "cereal-pickle",
    # The key that signs cereal-pickle bodies; None stands for SECRET_KEY.
    "SIGNING_KEY": None,
    # Former keys, which verify; None stands for SECRET_KEY_FALLBACKS.
    "SIGNING_KEY_FALLBACKS": None,
}


def get(name: str) -> Any:
    """Return the value of a setting, or its default.

    Raises ``ImproperlyConfigured`` if ``CEREAL_METHODS`` has an error.
    """
    given = getattr(settings, "CEREAL_METHODS", None)
    if not given:
        return DEFAULTS[name]
    if errors := problems():
        raise ImproperlyConfigured(" ".join(errors))
    return given.get(name, DEFAULTS[name])


def problems() -> list[str]:
    """Return what is wrong with ``CEREAL_METHODS``, in words; empty if nothing is."""
    given = getattr(settings, "CEREAL_METHODS", None) or {}
    if not isinstance(given, Mapping):
        return [f"CEREAL_METHODS must be a dict, not a {type(given).__qualname__}."]
    found = []
    for name in given:
        if name not in DEFAULTS:
            near = difflib.get_close_matches(str(name).upper(), DEFAULTS, n=1)
            meant = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(DEFAULTS)}."
            found.append(f"CEREAL_METHODS has no setting {name!r}. {meant}")
    if not isinstance(given.get("SERIALIZER", ""), str):
        found.append("CEREAL_METHODS['SERIALIZER'] must be the name of a serializer.")
    key = given.get("SIGNING_KEY")
    if key is not None and (not isinstance(key, (str, bytes)) or not key):
        found.append("CEREAL_METHODS['SIGNING_KEY'] must be a string that is not empty.")
    fallbacks = given.get("SIGNING_KEY_FALLBACKS")
    if fallbacks is not None and (
        not isinstance(fallbacks, (list, tuple))
        or not all(isinstance(item, (str, bytes)) and item for item in fallbacks)
    ):
        found.append("CEREAL_METHODS['SIGNING_KEY_FALLBACKS'] must be a list of strings.")
    return found
