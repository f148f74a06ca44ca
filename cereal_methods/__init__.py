"""Model methods as Celery tasks, with instances sent as references.

The names are imported when they are first used: kombu imports this package
while it is being imported itself, to load the serializers.

PYTEST_DONT_REWRITE: a package with fixtures is one whose assertions pytest looks
into, and it warns where it finds the package imported already.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .serializers import CEREAL_JSON, CEREAL_MSGPACK, CEREAL_PICKLE, CEREAL_YAML

if TYPE_CHECKING:
    from .canvas import apply_on_commit as apply_on_commit
    from .canvas import ensure_self as ensure_self
    from .exceptions import CerealError as CerealError
    from .hydration import fetch as fetch
    from .methods import model_task as model_task
    from .references import ModelReference as ModelReference
    from .tallies import BulkResult as BulkResult
    from .tasks import task as task

__version__ = "0.1.0"

__all__ = [
    # decorators
    "model_task",
    "task",
    "ensure_self",
    # transactions
    "apply_on_commit",
    # results of many rows
    "BulkResult",
    # references
    "ModelReference",
    "fetch",
    # serializers
    "CEREAL_PICKLE",
    "CEREAL_JSON",
    "CEREAL_YAML",
    "CEREAL_MSGPACK",
    # errors
    "CerealError",
]

_HOMES = {
    "apply_on_commit": "canvas",
    "model_task": "methods",
    "task": "tasks",
    "ensure_self": "canvas",
    "BulkResult": "tallies",
    "ModelReference": "references",
    "fetch": "hydration",
    "CerealError": "exceptions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
