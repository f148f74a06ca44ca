"""What kombu and Python find of the library if nothing else has been imported."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from .bodies import NAMES
from .interpreters import run_program


def test_the_installed_package_names_its_serializers() -> None:
    points = entry_points(group="kombu.serializers")

    assert {point.name: point.value for point in points if point.name in NAMES} == {
        name: f"cereal_methods.entry_points:{name.replace('-', '_')}" for name in NAMES
    }


def test_kombu_knows_the_serializers_by_itself() -> None:
    printed = run_program("imports", "content_types", *NAMES)

    assert printed == str([f"application/x-{name.replace('_', '-')}" for name in NAMES])


def test_kombu_imports_little_of_the_library() -> None:
    heavy, own = run_program("imports", "modules_with_kombu").splitlines()

    assert heavy == str([])
    assert own == str(["cereal_methods", "cereal_methods.entry_points"])


def test_the_package_lists_its_names() -> None:
    listed, imported = run_program("imports", "names_of_the_package").splitlines()

    assert listed == imported
    assert "'model_task'" in listed
    assert "'CEREAL_JSON'" in listed


def test_importing_the_package_is_light() -> None:
    assert run_program("imports", "modules_with_the_package") == str([])


@pytest.mark.parametrize("name", ["model_task", "task", "ensure_self", "apply_on_commit", "fetch"])
def test_every_name_is_imported_when_it_is_used(name: str) -> None:
    assert run_program("imports", "name_when_used", name) == f"{name} True"


def test_an_unknown_name_is_missing_as_from_any_module() -> None:
    import cereal_methods

    with pytest.raises(AttributeError) as caught:
        cereal_methods.model_tsk  # noqa: B018

    assert str(caught.value) == "module 'cereal_methods' has no attribute 'model_tsk'"


@pytest.mark.parametrize(
    "first", ["kombu", "celery", "django", "cereal_methods.sending.model_task"]
)
def test_the_order_of_imports_does_not_matter(first: str) -> None:
    assert run_program("imports", "serializers_after", first) == "True"


def test_a_message_of_plain_values_needs_no_models() -> None:
    names = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]

    printed = run_program("imports", "messages_without_models", *names)

    assert printed.splitlines() == ["{'result': [1], 'status': 'SUCCESS'}"] * 4


def test_a_model_pickles_as_before_after_messages_were_written() -> None:
    printed = run_program("imports", "pickle_after_messages")

    assert printed.splitlines() == ["True", "True", "True"]


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (
            "msgpack",
            "cereal-msgpack",
            "cereal-msgpack needs msgpack: pip install 'django-cereal-methods[msgpack]'",
        ),
        (
            "yaml",
            "cereal-yaml",
            "cereal-yaml needs PyYAML: pip install 'django-cereal-methods[yaml]'",
        ),
    ],
)
def test_a_format_that_is_not_installed_says_what_to_install(
    module: str, name: str, message: str
) -> None:
    assert run_program("imports", "send_without", module, name) == message


def test_a_project_that_does_not_load_its_celery_app_is_told_so() -> None:
    assert run_program("imports", "send_without_an_app") == (
        "No Celery app is loaded here, so messages cannot be sent with 'cereal-pickle'. Import "
        "the project's app in the __init__.py beside its celery.py, so that Django loads it: "
        "from .celery import app"
    )
