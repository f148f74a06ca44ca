"""The names of django-cereal 0.2.1, for projects that move over from it.

``from django_cereal.pickle import ...`` becomes ``from cereal_methods.pickle
import ...``. The messages are those of ``cereal-pickle``: signed, and with
references that are fetched in the task. Messages that django-cereal itself
wrote are refused: let its workers run them before moving over.
"""

from __future__ import annotations

from typing import Any

from . import serializers
from .serializers import DJANGO_CEREAL_PICKLE
from .tasks import task as _task

__all__ = ["DJANGO_CEREAL_PICKLE", "model_decode", "model_encode", "task"]


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a shared task with the serializer ``django_cereal_pickle``."""
    return _task(function, **{"serializer": DJANGO_CEREAL_PICKLE, **options})


def model_encode(data: Any) -> bytes:
    """Return ``data`` as signed bytes, with references in the place of instances."""
    encoded: bytes = serializers.django_cereal_pickle.dumps(data)
    return encoded


def model_decode(data: bytes) -> Any:
    """Return what ``model_encode`` was given, with its instances fetched afresh."""
    return serializers.django_cereal_pickle.loads(data)
