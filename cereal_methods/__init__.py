"""Model methods as Celery tasks, with instances sent as references.

Names are imported when they are first used, because kombu imports this package to load the
serializers while kombu itself is being imported.

PYTEST_DONT_REWRITE: pytest rewrites the assertions of a package with fixtures, and warns if the
package was imported before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .entry_points import CEREAL_JSON, CEREAL_MSGPACK, CEREAL_PICKLE, CEREAL_YAML

if TYPE_CHECKING:
    from .exceptions import CerealError as CerealError
    from .results.bulk import BulkResult as BulkResult
    from .rows.fetch import fetch as fetch
    from .rows.reference import ModelReference as ModelReference
    from .sending.canvas import ensure_self as ensure_self
    from .sending.commits import apply_on_commit as apply_on_commit
    from .sending.model_task import model_task as model_task
    from .sending.task import task as task

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
    "apply_on_commit": "sending.commits",
    "model_task": "sending.model_task",
    "task": "sending.task",
    "ensure_self": "sending.canvas",
    "BulkResult": "results.bulk",
    "ModelReference": "rows.reference",
    "fetch": "rows.fetch",
    "CerealError": "exceptions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
