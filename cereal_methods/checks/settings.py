"""Checks of the setting ``CEREAL_METHODS``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from .. import conf
from ..celery_api.kombu import serializer_names
from ..serializers import signing
from .registry import never_raising

#: The least number of bytes in a signing key, as HMAC-SHA256 recommends, and of different
#: characters, as in Django's check of SECRET_KEY.
_LENGTH: Final = 32
_DIFFERENT: Final = 5


@never_raising
def check_settings(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: a setting that does not exist or has an invalid value."""
    problems = conf.problems()
    if not problems and conf.get("SERIALIZER") not in serializer_names():
        names = ", ".join(sorted(name for name in serializer_names() if name != "pickle"))
        problems.append(
            f"CEREAL_METHODS['SERIALIZER'] is {conf.get('SERIALIZER')!r}, which does not exist. "
            f"The serializers are {names}."
        )
    for problem in problems:
        yield Error(
            problem, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001"
        )


@never_raising
def check_aliases(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E007 and W002: aliases of models that do not exist, or that hide a model."""
    if conf.problems():
        return
    for former, label in conf.get("MODEL_ALIASES").items():
        if not _is_model(label):
            yield Error(
                f"CEREAL_METHODS['MODEL_ALIASES'] maps {former!r} to {label!r}, which is not an "
                "installed model.",
                hint="Write the label of an installed model, as in 'shop.Order'.",
                id="cereal_methods.E007",
            )
        if _is_model(former) and former.lower() != label.lower():
            yield CheckWarning(
                f"CEREAL_METHODS['MODEL_ALIASES'] maps {former!r} to {label!r}, but the model "
                f"{former!r} still exists. Its messages would run on rows of {label!r}.",
                hint=f"Remove {former!r} from MODEL_ALIASES, or rename the model.",
                id="cereal_methods.W002",
            )


def _is_model(label: str) -> bool:
    try:
        apps.get_model(label)
    except (LookupError, ValueError):
        return False
    return True


@never_raising
def check_empty_keys(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E010: an empty signing key, with which anyone can sign."""
    problem = "" if conf.problems() else signing.weak_keys()
    if problem:
        yield Error(problem, hint=signing.REMEDY, id="cereal_methods.E010")


@never_raising
def check_keys(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W003 and W004: a signing key that is used twice."""
    key = None if conf.problems() else conf.get("SIGNING_KEY")
    if key is None:
        return
    for name, others in (
        ("SECRET_KEY", [settings.SECRET_KEY]),
        ("one of SECRET_KEY_FALLBACKS", settings.SECRET_KEY_FALLBACKS),
    ):
        if signing.as_bytes(key) in map(signing.as_bytes, others):
            yield CheckWarning(
                f"CEREAL_METHODS['SIGNING_KEY'] is the same as {name}. Whoever learns one key also "
                "has the other.",
                hint="Use a different key, or remove the setting. SECRET_KEY is the default.",
                id="cereal_methods.W003",
            )
    if signing.as_bytes(key) in map(signing.as_bytes, conf.get("SIGNING_KEY_FALLBACKS") or ()):
        yield CheckWarning(
            "CEREAL_METHODS['SIGNING_KEY'] is also in SIGNING_KEY_FALLBACKS. Either the key was "
            "not changed, or a former key signs again.",
            hint="Remove it from SIGNING_KEY_FALLBACKS, or make a new key.",
            id="cereal_methods.W004",
        )


@never_raising
def check_key_strength(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W005: a signing key that can be guessed. Django checks SECRET_KEY itself (security.W009)."""
    key = None if conf.problems() else conf.get("SIGNING_KEY")
    if key is None:
        return
    material = signing.as_bytes(key)
    is_insecure = material.startswith(b"django-insecure-")
    if is_insecure or len(material) < _LENGTH or len(set(material)) < _DIFFERENT:
        yield CheckWarning(
            f"CEREAL_METHODS['SIGNING_KEY'] can be guessed: it has fewer than {_LENGTH} bytes, "
            f"fewer than {_DIFFERENT} different bytes, or starts with 'django-insecure-'.",
            hint="Make a key with django.core.management.utils.get_random_secret_key(). Keep the "
            "former one in SIGNING_KEY_FALLBACKS until its messages have been processed.",
            id="cereal_methods.W005",
        )
