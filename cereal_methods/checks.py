"""System checks."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from kombu.serialization import registry  # type: ignore[attr-defined]

from . import conf


@register("cereal_methods")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report what is wrong with the ``CEREAL_METHODS`` setting."""
    problems = conf.problems()
    if not problems and conf.get("SERIALIZER") not in registry.name_to_type:
        known = ", ".join(sorted(registry.name_to_type))
        problems.append(
            f"CEREAL_METHODS['SERIALIZER'] is {conf.get('SERIALIZER')!r}. Known are {known}."
        )
    return [
        Error(problem, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001")
        for problem in problems
    ]
