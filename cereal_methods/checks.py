"""System checks."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from . import conf


@register("cereal_methods")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report what is wrong with the ``CEREAL_METHODS`` setting."""
    return [
        Error(problem, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001")
        for problem in conf.problems()
    ]
