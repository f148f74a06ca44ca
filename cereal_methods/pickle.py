"""The names of django-cereal 0.2.1, for projects that migrate from it.

``from django_cereal.pickle import ...`` becomes ``from cereal_methods.pickle import ...``. The
messages are those of ``cereal-pickle``: they are signed, and their rows are fetched in the task.
Messages that django-cereal wrote are refused, so let its workers run them before migrating.
"""

from __future__ import annotations

from typing import Any

from .entry_points import DJANGO_CEREAL_PICKLE, django_cereal_pickle
from .sending.task import task as _task

__all__ = ["DJANGO_CEREAL_PICKLE", "model_decode", "model_encode", "task"]


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a shared task with the serializer ``django_cereal_pickle``.

    Can be used with and without options, which are those of ``cereal_methods.task``.
    """
    return _task(function, **{"serializer": DJANGO_CEREAL_PICKLE, **options})


def model_encode(data: Any) -> bytes:
    """Return ``data`` as signed bytes, with references in place of instances.

    Raises ``EncodingFailed`` for an unsaved instance, or for a value that cannot be pickled.
    """
    encoded: bytes = django_cereal_pickle.dumps(data)
    return encoded


def model_decode(data: bytes) -> Any:
    """Return the data that ``model_encode`` encoded, with fresh instances.

    Raises ``SignatureMismatch`` if another key signed it, and a model's ``DoesNotExist`` if a row
    is gone.
    """
    return django_cereal_pickle.loads(data)
