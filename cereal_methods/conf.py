"""The library's settings: one dict, ``CEREAL_METHODS``, in Django's settings.

They are read when they are first used, and again when ``override_settings``, or whatever
else sends Django's signal ``setting_changed``, has changed a setting.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

#: The settings and their defaults.
DEFAULTS: Final[Mapping[str, Any]] = {
    # The serializer of tasks made with @model_task and @task.
    "SERIALIZER": "cereal-pickle",
    # The key that signs cereal-pickle bodies; None stands for SECRET_KEY.
    "SIGNING_KEY": None,
    # Former keys, which verify; None stands for SECRET_KEY_FALLBACKS.
    "SIGNING_KEY_FALLBACKS": None,
    # Whether delay and apply_async of model tasks wait for the transaction's commit.
    "ON_COMMIT": False,
    # What model tasks do when their row is gone: "raise", "discard" or "retry".
    "ON_MISSING": "raise",
    # How often a fetch is put off (the database is away, or on_missing is "retry"),
    # and for how many seconds: the first is doubled each time, up to the second.
    "FETCH_MAX_RETRIES": 10,
    "FETCH_RETRY_BACKOFF": 1,
    "FETCH_RETRY_BACKOFF_MAX": 60,
    # How often a message may end its worker's process before its row is failed. It counts where
    # such a message is sent again: reject_on_worker_lost, and messages delivered twice.
    "MAX_CRASHES": 5,
    # Former labels of models that were renamed or moved: {"old.Label": "new.Label"}.
    "MODEL_ALIASES": {},
}


def get(name: str) -> Any:
    """Return the value of a setting, or its default.

    Raises ``ImproperlyConfigured`` if ``CEREAL_METHODS`` has an error.
    """
    return _values()[name]


@cache
def _values() -> Mapping[str, Any]:
    # They are asked for several times a message, and Django takes a microsecond for each.
    if errors := problems():
        raise ImproperlyConfigured(" ".join(errors))
    return {**DEFAULTS, **(getattr(settings, "CEREAL_METHODS", None) or {})}


setting_changed.connect(lambda **kwargs: _values.cache_clear(), weak=False)


def problems() -> list[str]:
    """Return what is wrong with ``CEREAL_METHODS``, in words; empty if nothing is."""
    given = getattr(settings, "CEREAL_METHODS", None)
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [f"CEREAL_METHODS must be a dict, not a {type(given).__qualname__}."]
    found = []
    for name in given:
        if name not in DEFAULTS:
            near = difflib.get_close_matches(str(name).upper(), DEFAULTS, n=1)
            meant = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(DEFAULTS)}."
            found.append(f"CEREAL_METHODS has no setting {name!r}. {meant}")
    for name, is_valid, expected in _VALUES:
        if name in given and not is_valid(given[name]):
            found.append(f"CEREAL_METHODS[{name!r}] must be {expected}.")
    return found


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_VALUES: Final = (
    ("SERIALIZER", lambda value: isinstance(value, str), "the name of a serializer"),
    ("SIGNING_KEY", lambda value: value is None or _is_key(value), "a string that is not empty"),
    (
        "SIGNING_KEY_FALLBACKS",
        lambda value: (
            value is None or (isinstance(value, (list, tuple)) and all(map(_is_key, value)))
        ),
        "a list of strings",
    ),
    ("ON_COMMIT", lambda value: isinstance(value, bool), "True or False"),
    ("ON_MISSING", ("raise", "discard", "retry").__contains__, "'raise', 'discard' or 'retry'"),
    (
        "FETCH_MAX_RETRIES",
        lambda value: _is_number(value) and isinstance(value, int),
        "a whole number",
    ),
    (
        "MAX_CRASHES",
        lambda value: _is_number(value) and isinstance(value, int) and value >= 1,
        "a whole number, at least 1",
    ),
    ("FETCH_RETRY_BACKOFF", _is_number, "a number of seconds"),
    ("FETCH_RETRY_BACKOFF_MAX", _is_number, "a number of seconds"),
    (
        "MODEL_ALIASES",
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(label, str) for pair in value.items() for label in pair)
        ),
        "a dict of labels",
    ),
)
