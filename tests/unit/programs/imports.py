"""What is imported with kombu and with the library, in a process that has imported nothing else.

The first argument names a function of this module, which is called with the other arguments.
"""

from __future__ import annotations

import importlib
import sys

#: What is not needed before a message is encoded or decoded.
HEAVY = ["celery", "django.db", "django.apps", "django.conf", "wrapt", "asgiref"]


def set_up() -> None:
    """Set Django up without a settings module and without apps."""
    from django.conf import settings

    settings.configure(SECRET_KEY="secret", DATABASES={})
    import django

    django.setup()


def content_types(*serializers: str) -> None:
    """Print the content types that kombu has for serializers."""
    from kombu.serialization import registry

    print([registry.name_to_type[name] for name in serializers])


def modules_with_kombu() -> None:
    """Print the heavy modules and those of the library that kombu imports."""
    import kombu.serialization  # noqa: F401

    print([name for name in HEAVY if name in sys.modules])
    print(sorted(name for name in sys.modules if name.startswith("cereal_methods")))


def modules_with_the_package() -> None:
    """Print the heavy modules that the package imports."""
    import cereal_methods  # noqa: F401
    from cereal_methods import CEREAL_PICKLE  # noqa: F401

    print([name for name in ["kombu", "django", *HEAVY] if name in sys.modules])


def names_of_the_package() -> None:
    """Print the names that the package lists, and those that an import of all names gives."""
    from cereal_methods import __all__

    names: dict[str, object] = {}
    exec("from cereal_methods import *", names)  # a function cannot have such a statement
    print(sorted(__all__))
    print(sorted(names.keys() - {"__builtins__"}))


def name_when_used(name: str) -> None:
    """Print what a name of the package is, and whether the package has it from then on."""
    set_up()
    import cereal_methods

    assert name not in vars(cereal_methods)
    print(getattr(cereal_methods, name).__name__, name in vars(cereal_methods))


def serializers_after(first: str) -> None:
    """Print whether kombu knows a serializer if ``first`` is imported before the library."""
    if first == "cereal_methods.sending.model_task":
        set_up()
    importlib.import_module(first)
    importlib.import_module("cereal_methods.serializers")
    from kombu.serialization import registry

    print("cereal-pickle" in registry._encoders)


def messages_without_models(*serializers: str) -> None:
    """Print a message of plain values, written and read without ``django.setup()``."""
    from django.conf import settings

    settings.configure(SECRET_KEY="secret")
    from kombu.serialization import dumps, loads

    for name in serializers:
        content_type, encoding, data = dumps({"result": [1], "status": "SUCCESS"}, name)
        print(loads(data, content_type, encoding, accept=[content_type]))


def pickle_after_messages() -> None:
    """Print whether models, pickle and kombu are as they were before messages were written."""
    import pickle

    from django.db.models import Model

    hooks = ["__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"]
    before = [vars(Model).get(name) for name in hooks], dict(vars(pickle))

    import django

    import tests.celery  # noqa: F401  (the project's app)

    django.setup()
    from kombu.serialization import registry

    from tests.shop.models import Order
    from tests.unit.bodies import NAMES, call_body, encode, stored

    order = stored(Order, pk=5)
    encoders = {name: registry._encoders[name] for name in ["pickle", "json"]}
    pickled = pickle.dumps(order), registry.dumps([1], "json"), registry.dumps({1}, "pickle")
    for name in NAMES:
        encode(call_body([order], {"this": order}), name)

    print(before == ([vars(Model).get(name) for name in hooks], dict(vars(pickle))))
    print({name: registry._encoders[name] for name in encoders} == encoders)
    again = pickle.dumps(order), registry.dumps([1], "json"), registry.dumps({1}, "pickle")
    print(again == pickled)


def send_without(module: str, serializer: str) -> None:
    """Send with a serializer whose module is not installed, and print the error."""
    sys.modules[module] = None  # type: ignore[assignment]
    set_up()
    from celery import Celery
    from kombu.exceptions import SerializerNotInstalled
    from kombu.serialization import dumps

    app = Celery("shop", broker="memory://")
    app.conf.accept_content = [serializer, "cereal-pickle"]
    dumps([1], "cereal-pickle")
    try:
        app.send_task("task", serializer=serializer)
    except SerializerNotInstalled as error:
        print(error)


def send_without_an_app() -> None:
    """Send a shared task in a project that does not load its Celery app, and print the error."""
    set_up()
    from celery import shared_task

    from cereal_methods.exceptions import SerializerNotAccepted

    @shared_task(serializer="cereal-pickle")
    def pack(order: object) -> None: ...

    try:
        pack.delay(5)
    except SerializerNotAccepted as error:
        print(error)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
