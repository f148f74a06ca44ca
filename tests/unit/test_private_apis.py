"""Only ``celery_api`` and ``django_api`` use what Celery, kombu and Django do not document."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cereal_methods

ROOT = Path(cereal_methods.__file__).parent
OUTSIDE = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0] not in ("celery_api", "django_api")
)

#: The modules that the documentation of Celery, kombu and Django names, of those that are used.
DOCUMENTED = {
    "celery",
    "celery.app.task",
    "celery.canvas",
    "celery.exceptions",
    "celery.result",
    "celery.signals",
    "celery.states",
    "django",
    "django.apps",
    "django.conf",
    "django.contrib",
    "django.contrib.admin",
    "django.contrib.admin.models",
    "django.contrib.auth",
    "django.core.checks",
    "django.core.exceptions",
    "django.core.management.base",
    "django.db",
    "django.db.models",
    "django.db.models.signals",
    "django.http",
    "django.template.response",
    "django.urls",
    "django.utils",
    "django.utils.dateparse",
    "django.utils.formats",
    "django.utils.functional",
    "django.utils.html",
    "django.utils.safestring",
    "django.utils.text",
    "django.utils.timezone",
    "django.utils.translation",
    "kombu",
    "kombu.compression",
    "kombu.exceptions",
    "kombu.serialization",
    "kombu.utils.json",
}

#: What these modules have beside what is documented.
UNDOCUMENTED = {
    "django.contrib.admin": {"widgets", "options", "helpers", "utils"},
    "django.utils.functional": {"SimpleLazyObject", "LazyObject", "empty"},
    "kombu.serialization": {"registry", "prepare_accept_content"},
}

#: Private by their names, and documented.
DOCUMENTED_ATTRIBUTES = {
    "_asdict",  # Python, of named tuples
    "_base_manager",
    "_default_manager",
    "_getframe",  # Python
    "_meta",
    "_replace",  # Python, of named tuples
    "_state",
}

#: Public by their names, and not documented.
UNDOCUMENTED_ATTRIBUTES = {
    # Celery
    "argsrepr_maxsize",
    "as_task_v2",
    "cache_backend",
    "create_task_handler",
    "create_task_message",
    "finalized",
    "get_key_for_task",
    "kwargsrepr_maxsize",
    "meta_from_decoded",
    "mget",
    "on_decode_error",
    "receivers",
    "request_stack",
    "send_task_message",
    "should_terminate",
    "strategies",
    "task_cls",
    "task_ready",
    "ResultSession",
    "TaskModel",
    # kombu
    "name_to_type",
    "type_to_name",
    # Django
    "all_models",
    "all_parents",
    "atomic_blocks",
    "concrete_model",
    "display_name",
    "get_compiler",
    "has_view_or_change_permission",
    "in_atomic_block",
    "is_usable",
    "loading",
    "managers",
    "needs_rollback",
    "prefetch_through",
    "prefetch_to",
    "private_fields",
    "related_objects",
    "run_on_commit",
    "savepoint_ids",
    "target_field",
}

#: In strings, as names of options and attributes.
UNDOCUMENTED_NAMES = {"__header__", "__trace__", "_orig_run", "celery.app.trace", "real_func"}

FRAMEWORKS = ("celery", "kombu", "billiard", "vine", "amqp", "django")


def own_names() -> set[str]:
    """Return the private names that the library itself defines, or sets."""
    names: set[str] = set()
    for path in OUTSIDE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                # self._own = ..., and request._context = ... of another's is not its own.
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "outer"):
                    names.add(node.attr)
            elif isinstance(node, ast.keyword) and node.arg is not None:
                names.add(node.arg)  # vars(self).update(_fetch=fetch)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.update({node.value} if node.value.isidentifier() else ())  # __slots__
    return names


def violations(source: str, own: set[str]) -> Iterator[str]:
    """Give each use of something undocumented in a module's source."""
    tree = ast.parse(source)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and _is_framework(node.module):
            if node.module not in DOCUMENTED:
                yield f"line {node.lineno}: from {node.module} import"
            for alias in node.names:
                if alias.name in UNDOCUMENTED.get(str(node.module), ()):
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if _is_framework(alias.name) and alias.name not in DOCUMENTED:
                    yield f"line {node.lineno}: import {alias.name}"
        elif isinstance(node, ast.Attribute):
            is_private = node.attr.startswith("_") and not node.attr.endswith("__")
            is_known = node.attr in own | DOCUMENTED_ATTRIBUTES
            if node.attr in UNDOCUMENTED_ATTRIBUTES | UNDOCUMENTED_NAMES or (
                is_private and not is_known
            ):
                yield f"line {node.lineno}: .{node.attr}"
        elif (
            isinstance(node, ast.Constant)
            and node.value in UNDOCUMENTED_NAMES
            and id(node) not in documents
        ):
            yield f"line {node.lineno}: {node.value!r}"


def _is_framework(module: str | None) -> bool:
    return str(module).partition(".")[0] in FRAMEWORKS


OWN = own_names()


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_uses_documented_names_only(path: Path) -> None:
    assert list(violations(path.read_text(), OWN)) == []


@pytest.mark.parametrize(
    ("source", "detected"),
    [
        ("from celery._state import get_current_task", "from celery._state import"),
        ("import celery.app.trace", "import celery.app.trace"),
        ("def f():\n    from billiard.einfo import ExceptionInfo", "from billiard.einfo import"),
        ("from kombu.serialization import registry", "from kombu.serialization import registry"),
        ("queryset._result_cache", "._result_cache"),
        ("self.producer._publish_now()", "._publish_now"),
        ("request._already_revoked = True", "._already_revoked"),
        ("task.request_stack.top", ".request_stack"),
        ("connection.run_on_commit", ".run_on_commit"),
        ("task.__header__()", ".__header__"),
        ('options["__header__"] = header', "'__header__'"),
    ],
)
def test_undocumented_names_are_detected(source: str, detected: str) -> None:
    assert [violation.partition(": ")[2] for violation in violations(source, OWN)] == [detected]


@pytest.mark.parametrize(
    "source",
    [
        "from celery import shared_task",
        "order._meta.label, order._state.db, Order._base_manager",
        "from ..celery_api.tasks import get_current_task",
        'def f():\n    """celery.app.trace"""',
    ],
)
def test_documented_names_may_be_used(source: str) -> None:
    assert list(violations(source, OWN)) == []
