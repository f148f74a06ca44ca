"""Model labels in messages, and the models that they name here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

from .. import conf
from ..exceptions import UnknownModel

if TYPE_CHECKING:
    from django.db import models


def model_of(label: str) -> type[models.Model]:
    """Return the model with a label, such as ``shop.Order``, or with that former label.

    Raises ``UnknownModel`` if this process has no such model.
    """
    try:
        return apps.get_model(conf.get("MODEL_ALIASES").get(label, label))
    except (LookupError, ValueError):
        raise UnknownModel(
            f"This process has no model {label[:100]!r}, which a message refers to. Add its app to "
            "INSTALLED_APPS here, or deploy the code that has the model before sending. If it was "
            "renamed or moved, add it to CEREAL_METHODS['MODEL_ALIASES'].",
            label,
        ) from None
