"""The library's settings: one dict, ``CEREAL_METHODS``, in Django's settings.

They are read when one of them is first used, and again after Django's signal
``setting_changed``, which ``override_settings`` sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .django_api.databases import setting_changed
from .suggestions import did_you_mean

#: The settings and their defaults.
DEFAULTS: Final[Mapping[str, Any]] = {
    # The serializer of tasks made with @model_task and @task.
    "SERIALIZER": "cereal-pickle",
    # The secret from which the signing key of cereal-pickle is derived; None means SECRET_KEY.
    "SIGNING_KEY": None,
    # Former secrets, which still verify signatures; None means SECRET_KEY_FALLBACKS.
    "SIGNING_KEY_FALLBACKS": None,
    # Whether the bodies of cereal-json, cereal-yaml and cereal-msgpack are signed too.
    "SIGN_ALL": False,
    # Whether they are, and workers refuse messages without a signature for tasks of this library.
    "REQUIRE_SIGNED": False,
    # Whether workers refuse signed messages that do not say which task and id they are for.
    "REQUIRE_BOUND": False,
    # Whether delay and apply_async of method tasks wait for the transaction's commit.
    "ON_COMMIT": False,
    # What method tasks do if their row is gone: "raise", "discard" or "retry".
    "ON_MISSING": "raise",
    # How often a fetch is retried (the database is unavailable, or on_missing is "retry"), and
    # after how many seconds: the first number is doubled each time, up to the second.
    "FETCH_MAX_RETRIES": 10,
    "FETCH_RETRY_BACKOFF": 1,
    "FETCH_RETRY_BACKOFF_MAX": 60,
    # How often a message may kill its worker's process before its row fails. It matters if the
    # message is delivered again: with reject_on_worker_lost, or by the broker.
    "MAX_CRASHES": 5,
    # Whether all methods with @model_task are durable; see cereal_methods.records.
    "DURABLE": False,
    # How often a durable task may end its process before it is failed.
    "DURABLE_MAX_CRASHES": 5,
    # The seconds between two looks of a worker for durable tasks that are due; 0 for none.
    "RECORDS_INTERVAL": 1,
    # The days for which records of tasks that are done are kept by purge.
    "RECORDS_KEEP": 7,
    # Former labels of models that were renamed or moved: {"old.Label": "new.Label"}.
    "MODEL_ALIASES": {},
}


def get(name: str) -> Any:
    """Return the value of a setting, or its default.

    Raises ``ImproperlyConfigured`` if any setting in ``CEREAL_METHODS`` is invalid.
    """
    return _values()[name]


@cache
def _values() -> Mapping[str, Any]:
    # Cached, because each message reads several, and Django takes a microsecond for each.
    if errors := problems():
        raise ImproperlyConfigured(" ".join(errors))
    return {**DEFAULTS, **(getattr(settings, "CEREAL_METHODS", None) or {})}


setting_changed.connect(lambda **kwargs: _values.cache_clear(), weak=False)


def problems() -> list[str]:
    """Return a sentence for each error in ``CEREAL_METHODS``."""
    values = getattr(settings, "CEREAL_METHODS", None)
    if values is None:
        return []
    if not isinstance(values, Mapping):
        return [f"CEREAL_METHODS must be a dict, not a {type(values).__qualname__}."]
    errors = []
    for name in values:
        if name not in DEFAULTS:
            hint = did_you_mean(name, DEFAULTS, f"Settings are {', '.join(DEFAULTS)}.")
            errors.append(f"CEREAL_METHODS has no setting {name!r}. {hint}")
    for name, is_valid, expected in _VALIDATORS:
        if name in values and not is_valid(values[name]):
            errors.append(f"CEREAL_METHODS[{name!r}] must be {expected}.")
    return errors


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, bytes)) and bool(value.strip())


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


#: Settings, whether a value is valid, and what it must be.
_VALIDATORS: Final = (
    ("SERIALIZER", lambda value: isinstance(value, str), "the name of a serializer"),
    ("SIGNING_KEY", lambda value: value is None or _is_key(value), "a string that is not empty"),
    (
        "SIGNING_KEY_FALLBACKS",
        lambda value: (
            value is None or (isinstance(value, (list, tuple)) and all(map(_is_key, value)))
        ),
        "a list of strings",
    ),
    ("SIGN_ALL", _is_bool, "True or False"),
    ("REQUIRE_SIGNED", _is_bool, "True or False"),
    ("REQUIRE_BOUND", _is_bool, "True or False"),
    ("ON_COMMIT", _is_bool, "True or False"),
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
    ("DURABLE", _is_bool, "True or False"),
    (
        "DURABLE_MAX_CRASHES",
        lambda value: _is_number(value) and isinstance(value, int) and value >= 1,
        "a whole number, at least 1",
    ),
    ("RECORDS_INTERVAL", _is_number, "a number of seconds"),
    ("RECORDS_KEEP", _is_number, "a number of days"),
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
