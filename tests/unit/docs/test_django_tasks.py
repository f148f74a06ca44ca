"""Django's tasks beside method tasks, as docs/django-tasks.md describes them.

On Django 5.2 with the package that brings its framework there.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import pytest
from django.utils.module_loading import import_string

from tests.shop.models import Order

from ..examples import project, write_project
from ..interpreters import ROOT, run_python

PAGE = ROOT / "docs" / "django-tasks.md"

#: Where the framework is.
FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"

pytestmark = pytest.mark.skipif(
    find_spec(FRAMEWORK) is None, reason="Django 5.2 without the package django-tasks"
)


@pytest.fixture
def task() -> Any:
    """Django's decorator."""
    return import_string(f"{FRAMEWORK}.task")


def number_of(order: Any) -> Any:
    return order


def first_order() -> Any:
    return Order.objects.first()


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    text = PAGE.read_text().replace("django.tasks", FRAMEWORK)
    blocks = re.findall(r"^```python\n(# (\w+/\w+\.py)\n.*?)^```$", text, re.M | re.S)
    write_project(tmp_path, project("testing"), [(name, source) for source, name in blocks])

    options: Any = {"directory": tmp_path, "settings": "config.settings"}
    printed = run_python("-m", "django", "test", **options, with_stderr=True)

    assert len(blocks) == text.count("```python") == 5
    assert "Ran 3 tests" in printed


@pytest.mark.django_db
def test_a_method_of_an_instance_is_refused(task: Any) -> None:
    name = "InvalidTask" if django.VERSION >= (6, 0) else "InvalidTaskError"
    invalid = import_string(f"{FRAMEWORK}.exceptions.{name}")
    with pytest.raises(invalid) as caught:
        task(Order.objects.create().ship)

    assert str(caught.value) == "Task function must be defined at a module level."


def test_a_method_of_the_class_is_accepted_but_has_no_row(task: Any) -> None:
    method = task(Order.ship)

    result = method.enqueue(5, "dhl")

    assert str(result.status) == "FAILED"
    assert result.errors[0].exception_class_path == "builtins.AttributeError"
    with pytest.raises(ImportError):
        import_string(method.module_path)


@pytest.mark.django_db
def test_instances_are_neither_arguments_nor_results(task: Any) -> None:
    with pytest.raises(TypeError, match=r"^Unsupported type: <class 'tests\.shop"):
        task(number_of).enqueue(Order.objects.create())
    result = task(first_order).enqueue()

    assert str(result.status) == "FAILED"
    assert result.errors[0].exception_class_path == "builtins.TypeError"
