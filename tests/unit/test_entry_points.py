"""What kombu finds of the library when nothing else has been imported."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from .bodies import NAMES
from .interpreters import run

#: What is not needed before a message is encoded or decoded.
HEAVY = ["celery", "django.db", "django.apps", "django.conf", "wrapt", "asgiref"]

DJANGO = """
from django.conf import settings
settings.configure(SECRET_KEY="secret", DATABASES={})
import django
django.setup()
"""

# Without what an extra brings.
LACKS = """
import sys
sys.modules[{module!r}] = None
"""


def test_the_installed_package_names_its_serializers() -> None:
    found = entry_points(group="kombu.serializers")

    assert {point.name: point.value for point in found if point.name in NAMES} == {
        name: f"cereal_methods.entry_points:{name.replace('-', '_')}" for name in NAMES
    }


def test_kombu_knows_the_serializers_by_itself() -> None:
    found = run(
        f"""
        from kombu.serialization import registry

        print([registry.name_to_type[name] for name in {NAMES}])
        """
    )

    assert found == str([f"application/x-{name.replace('_', '-')}" for name in NAMES])


def test_kombu_imports_little_of_the_library() -> None:
    found = run(
        f"""
        import sys

        import kombu.serialization

        print([name for name in {HEAVY} if name in sys.modules])
        print(sorted(name for name in sys.modules if name.startswith("cereal_methods")))
        """,
    )

    heavy, own = found.splitlines()
    assert heavy == str([])
    assert own == str(["cereal_methods", "cereal_methods.entry_points"])


@pytest.mark.parametrize("program", ["import cereal_methods", "from cereal_methods import *"])
def test_the_package_lists_its_names(program: str) -> None:
    found = run(program, "import cereal_methods; print(sorted(set(cereal_methods.__all__)))")

    assert "'model_task'" in found
    assert "'CEREAL_JSON'" in found


def test_importing_the_package_is_light() -> None:
    found = run(
        f"""
        import sys

        import cereal_methods
        from cereal_methods import CEREAL_PICKLE

        print([name for name in ["kombu", "django", *{HEAVY}] if name in sys.modules])
        """
    )

    assert found == str([])


@pytest.mark.parametrize("name", ["model_task", "task", "ensure_self", "apply_on_commit", "fetch"])
def test_every_name_is_imported_when_it_is_used(name: str) -> None:
    found = run(
        DJANGO,
        f"""
        import cereal_methods

        assert {name!r} not in vars(cereal_methods)
        print(cereal_methods.{name}.__name__, {name!r} in vars(cereal_methods))
        """,
    )

    assert found == f"{name} True"


def test_an_unknown_name_is_missing_as_from_any_module() -> None:
    import cereal_methods

    with pytest.raises(AttributeError) as caught:
        cereal_methods.model_tsk  # noqa: B018

    assert str(caught.value) == "module 'cereal_methods' has no attribute 'model_tsk'"


@pytest.mark.parametrize(
    "first", ["kombu", "celery", "django", "cereal_methods.sending.model_task"]
)
def test_the_order_of_imports_does_not_matter(first: str) -> None:
    found = run(
        DJANGO if first == "cereal_methods.sending.model_task" else "",
        f"""
        import {first}
        import cereal_methods.serializers
        from kombu.serialization import registry

        print("cereal-pickle" in registry._encoders)
        """,
    )

    assert found == "True"


def test_a_message_of_plain_values_needs_no_models() -> None:
    found = run(
        """
        from django.conf import settings

        settings.configure(SECRET_KEY="secret")
        from kombu.serialization import dumps, loads

        for name in ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]:
            content_type, encoding, data = dumps({"result": [1], "status": "SUCCESS"}, name)
            print(loads(data, content_type, encoding, accept=[content_type]))
        """
    )

    assert found.splitlines() == ["{'result': [1], 'status': 'SUCCESS'}"] * 4


def test_a_model_pickles_as_ever_after_messages_were_written() -> None:
    found = run(
        """
        import pickle

        from django.db.models import Model

        hooks = ["__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"]
        before = [vars(Model).get(name) for name in hooks], dict(vars(pickle))
        """,
        """
        import tests.celery, django
        django.setup()
        from kombu.serialization import registry
        from tests.shop.models import Order
        from tests.unit.bodies import NAMES, call_body, encode, stored

        order = stored(Order, pk=5)
        kombus = {name: registry._encoders[name] for name in ["pickle", "json"]}
        pickled = pickle.dumps(order), registry.dumps([1], "json"), registry.dumps({1}, "pickle")
        for name in NAMES:
            encode(call_body([order], {"this": order}), name)

        after = [vars(Model).get(name) for name in hooks], dict(vars(pickle))
        print(before == after)
        print({name: registry._encoders[name] for name in kombus} == kombus)
        again = pickle.dumps(order), registry.dumps([1], "json"), registry.dumps({1}, "pickle")
        print(again == pickled)
        """,
    )

    assert found.splitlines() == ["True", "True", "True"]


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
    found = run(
        LACKS.format(module=module),
        DJANGO,
        f"""
        from celery import Celery
        from kombu.exceptions import SerializerNotInstalled
        from kombu.serialization import dumps

        app = Celery("shop", broker="memory://")
        app.conf.accept_content = [{name!r}, "cereal-pickle"]
        dumps([1], "cereal-pickle")
        try:
            app.send_task("task", serializer={name!r})
        except SerializerNotInstalled as error:
            print(error)
        """,
    )

    assert found == message


def test_a_project_that_does_not_load_its_celery_app_is_told_so() -> None:
    found = run(
        DJANGO,
        """
        from celery import shared_task
        from cereal_methods.exceptions import SerializerNotAccepted

        @shared_task(serializer="cereal-pickle")
        def pack(order): ...

        try:
            pack.delay(5)
        except SerializerNotAccepted as error:
            print(error)
        """,
    )

    assert found == (
        "No Celery app is loaded here, so messages cannot be sent with 'cereal-pickle'. Import "
        "the project's app in the __init__.py beside its celery.py, so that Django loads it: "
        "from .celery import app"
    )
