"""What is wrong with the ``CEREAL_METHODS`` setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from kombu.serialization import registry  # type: ignore[attr-defined]

from .. import conf
from ..serializers import signing
from .registry import never_raising

#: The fewest bytes, and different ones, of a signing key: those of HMAC-SHA256, and Django's.
_LENGTH: Final = 32
_DIFFERENT: Final = 5


@never_raising
def check_settings(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E001: a setting that does not exist, or has no such value."""
    problems = conf.problems()
    if not problems and conf.get("SERIALIZER") not in registry.name_to_type:
        known = ", ".join(sorted(registry.name_to_type))
        problems.append(
            f"CEREAL_METHODS['SERIALIZER'] is {conf.get('SERIALIZER')!r}. Known are {known}."
        )
    for problem in problems:
        yield Error(
            problem, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001"
        )


@never_raising
def check_aliases(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E007 and W002: models that messages are to find under a new label."""
    if conf.problems():
        return
    for former, label in conf.get("MODEL_ALIASES").items():
        if not _is_model(label):
            yield Error(
                f"CEREAL_METHODS['MODEL_ALIASES'] sends messages about {former!r} to {label!r}, "
                "and there is no such model.",
                hint="Write the label of an installed model, as in 'shop.Order'.",
                id="cereal_methods.E007",
            )
        if _is_model(former) and former.lower() != label.lower():
            yield CheckWarning(
                f"CEREAL_METHODS['MODEL_ALIASES'] sends messages about {former!r} to {label!r}, "
                f"and there is a model {former!r}: its rows would be taken for others.",
                hint=f"Take {former!r} out of MODEL_ALIASES, or rename the model.",
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
    """E010: a signing key that everybody knows, as it is empty."""
    found = "" if conf.problems() else signing.weak_keys()
    if found:
        yield Error(found, hint=signing.REMEDY, id="cereal_methods.E010")


@never_raising
def check_keys(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W003 and W004: a signing key that stands in two places."""
    key = None if conf.problems() else conf.get("SIGNING_KEY")
    if key is None:
        return
    for name, known in (
        ("SECRET_KEY", [settings.SECRET_KEY]),
        ("one of SECRET_KEY_FALLBACKS", settings.SECRET_KEY_FALLBACKS),
    ):
        if signing.as_bytes(key) in map(signing.as_bytes, known):
            yield CheckWarning(
                f"CEREAL_METHODS['SIGNING_KEY'] is {name}: whoever learns one has the other.",
                hint="Give it a key of its own, or leave it out: SECRET_KEY is the default.",
                id="cereal_methods.W003",
            )
    if signing.as_bytes(key) in map(signing.as_bytes, conf.get("SIGNING_KEY_FALLBACKS") or ()):
        yield CheckWarning(
            "CEREAL_METHODS['SIGNING_KEY'] is among its own SIGNING_KEY_FALLBACKS: it was not "
            "changed, or a former key signs again.",
            hint="Take it out of SIGNING_KEY_FALLBACKS, or make a new key.",
            id="cereal_methods.W004",
        )


@never_raising
def check_key_strength(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W005: a signing key that can be guessed. For SECRET_KEY Django has security.W009."""
    key = None if conf.problems() else conf.get("SIGNING_KEY")
    if key is None:
        return
    material = signing.as_bytes(key)
    is_insecure = material.startswith(b"django-insecure-")
    if is_insecure or len(material) < _LENGTH or len(set(material)) < _DIFFERENT:
        yield CheckWarning(
            f"CEREAL_METHODS['SIGNING_KEY'] can be guessed: it has less than {_LENGTH} bytes, less "
            f"than {_DIFFERENT} different ones, or begins with 'django-insecure-'.",
            hint="Make one with django.core.management.utils.get_random_secret_key(). Put the "
            "former into SIGNING_KEY_FALLBACKS while its messages are on their way.",
            id="cereal_methods.W005",
        )
