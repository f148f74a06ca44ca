"""System checks: what ``manage.py check`` says of methods, their serializers and databases."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.core.checks import Warning as CheckWarning
from django.core.management import call_command
from django.db import connection, models
from django.db.models import Prefetch
from django.test import override_settings

from cereal_methods import model_task
from cereal_methods.checks import registry, serializers
from cereal_methods.checks.databases import check_locks
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Order

Found = list[tuple[str, str, str | None]]
Checked = Callable[..., Found]


def without_addresses(value: Any) -> str:
    """Name a parameter alike in all of the processes in which tests are run."""
    return re.sub(r" at 0x\w+", "", str(value))


def told(messages: Any) -> Found:
    """Return id, message and hint of each, by their ids; Django runs checks in no order."""
    found = [(each.id.removeprefix("cereal_methods."), each.msg, each.hint) for each in messages]
    return sorted(found)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Run the checks on a Celery app with some settings, which knows the same tasks."""

    def check(*names: str, **settings: Any) -> Found:
        use(monkeypatch, {name: app.tasks[name] for name in names}, **settings)
        return told(run_checks(tags=["cereal_methods"], databases=[]))

    return check


def use(monkeypatch: pytest.MonkeyPatch, tasks: dict[str, Any], **settings: Any) -> None:
    """Let the checks see a Celery app with these tasks and settings alone."""
    accepted = ["json", "cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
    conf = {
        "accept_content": accepted,
        "result_accept_content": None,
        "result_backend": None,
        "result_serializer": "json",
        "task_protocol": 2,
        "task_serializer": "json",
        "beat_schedule": {},
        "broker_url": "memory://",
        "broker_write_url": None,
        "broker_transport": None,
        "broker_transport_options": {},
        **settings,
    }
    fresh = SimpleNamespace(main="fresh", conf=SimpleNamespace(**conf), tasks=tasks)
    monkeypatch.setattr(registry, "_get_active_apps", lambda: [fresh])


SHIP = "tests.shop.models.Order.ship"
ME = "tests.shop.models.Order.me"


def test_the_tests_own_project_has_nothing_to_report() -> None:
    assert run_checks(tags=["cereal_methods"], databases=[], include_deployment_checks=True) == []


def test_no_celery_app_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_get_active_apps", list)

    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "W007",
            "This process has no Celery app: tasks would be sent by Celery's default one, to a "
            "broker on this machine, without the project's settings.",
            "Import the app where the project begins: 'from .celery import app' in the "
            "__init__.py beside settings.py.",
        )
    ]


def test_the_app_that_celery_makes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    default = SimpleNamespace(main="default")
    monkeypatch.setattr(registry, "_get_active_apps", lambda: [default])

    assert [each.id for each in run_checks(tags=["cereal_methods"], databases=[])] == [
        "cereal_methods.W007"
    ]


def test_protocol_1_is_reported(checked: Checked) -> None:
    assert checked(SHIP, task_protocol=1) == [
        (
            "E009",
            "The Celery app 'fresh' sends messages of protocol 1, which cereal serializers cannot "
            "write.",
            "Remove CELERY_TASK_PROTOCOL from the settings: 2 is Celery's default.",
        )
    ]


@pytest.mark.parametrize(
    "broker",
    [
        {"broker_url": "amqp://localhost//"},
        {"broker_url": "amqps://localhost//;redis://localhost"},
        {"broker_url": ["pyamqp://localhost//"]},
        {"broker_url": None},
        {"broker_write_url": "amqp://localhost//"},
        {"broker_url": "localhost", "broker_transport": "pyamqp"},
    ],
    ids=str,
)
def test_a_rabbitmq_that_confirms_nothing_is_reported(checked: Checked, broker: Any) -> None:
    assert checked(SHIP, **broker) == [
        (
            "W009",
            "The Celery app 'fresh' does not ask RabbitMQ to confirm what it sends: a message that "
            "RabbitMQ refuses or cannot route is lost, and delay() raises nothing.",
            "CELERY_BROKER_TRANSPORT_OPTIONS = {'confirm_publish': True}",
        )
    ]
    assert checked(SHIP, **broker, broker_transport_options={"confirm_publish": True}) == []
    assert checked(**broker) == []


@pytest.mark.parametrize("url", ["redis://localhost", "sqs://", "memory://"])
def test_other_brokers_are_not_asked_to_confirm(checked: Checked, url: str) -> None:
    assert checked(SHIP, broker_url=url) == []


def test_a_serializer_that_workers_do_not_accept_is_reported(checked: Checked) -> None:
    assert checked(SHIP, accept_content=["json"]) == [
        (
            "E002",
            f"{SHIP} cannot be sent: accept_content lacks their serializer 'cereal-pickle', and "
            "workers would drop the messages.",
            "CELERY_ACCEPT_CONTENT = ['json', 'cereal-pickle']",
        )
    ]


def test_a_serializer_is_reported_once_for_all_its_tasks(checked: Checked) -> None:
    names = [SHIP, ME, tasks.first_of.name, "tests.shop.models.Order.ship_as_json"]

    found = checked(*names, accept_content=["application/json"], result_backend=None)

    assert [(code, message.partition(" cannot")[0]) for code, message, _ in found] == [
        ("E002", f"{ME} and 2 more")
    ]


def test_a_serializer_of_all_tasks_that_workers_do_not_accept_is_reported(
    checked: Checked,
) -> None:
    settings = {"accept_content": ["json"], "task_serializer": "cereal-json"}

    assert checked("tests.shop.models.Order.ship_as_json", **settings) == [
        (
            "E002",
            "Tasks that name no serializer cannot be sent: accept_content lacks task_serializer, "
            "'cereal-json', and workers would drop the messages.",
            "CELERY_ACCEPT_CONTENT = ['json', 'cereal-json']",
        )
    ]


@pytest.mark.parametrize("accepted", ["cereal-pickle", "application/x-cereal-pickle"])
def test_names_and_content_types_are_accepted(checked: Checked, accepted: str) -> None:
    assert checked(SHIP, accept_content=["json", accepted]) == []


def test_a_name_that_kombu_does_not_know_is_no_reason_to_fail(checked: Checked) -> None:
    assert checked(SHIP, accept_content=["jsn", "cereal-pickle"]) == []


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("cereal-yaml", "yaml", "django-cereal-methods[yaml]"),
        ("cereal-msgpack", "msgpack", "django-cereal-methods[msgpack]"),
        ("yaml", "yaml", "PyYAML"),
    ],
)
def test_a_serializer_whose_library_is_missing_is_reported(
    checked: Checked, monkeypatch: pytest.MonkeyPatch, name: str, package: str, install: str
) -> None:
    monkeypatch.setattr(serializers, "find_spec", lambda asked: None if asked == package else 1)

    assert checked(ME, accept_content=["json"], result_backend="cache+memory://")[0][0] == "E002"
    found = checked(SHIP, result_serializer=name, result_backend="cache+memory://")
    assert found == [
        (
            "E003",
            f"No result can be kept: result_serializer is {name!r}, which needs the package "
            f"{package!r}.",
            f"python -m pip install '{install}'",
        )
    ]


def test_a_methods_serializer_that_does_not_exist_is_reported(
    checked: Checked, new_models: None
) -> None:
    class Typo(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(serializer="cereal-jsn")
        def go(self) -> None: ...

    ((code, message, hint),) = checked(Typo.go.name)

    assert code == "E003"
    assert message == f"{Typo.go.name} cannot be sent: the serializer 'cereal-jsn' does not exist."
    assert str(hint).startswith("Correct the name. Known are cereal-json, ")


def test_results_that_cannot_be_read_are_reported(checked: Checked) -> None:
    settings = {"result_serializer": "cereal-json", "result_backend": "cache+memory://"}

    assert checked(SHIP, **settings) == []
    assert checked(SHIP, **settings, result_accept_content=["cereal-json"]) == []
    assert checked(SHIP, **settings, result_accept_content=["json"]) == [
        (
            "E004",
            "Results cannot be read: result_accept_content lacks 'cereal-json', in which they are "
            "written.",
            "CELERY_RESULT_ACCEPT_CONTENT = ['json', 'cereal-json']",
        )
    ]
    assert [
        code for code, *_ in checked(SHIP, **settings, accept_content=["json", "cereal-pickle"])
    ] == ["E004"]
    assert checked(SHIP, result_serializer="cereal-json", result_accept_content=["json"]) == []


BACKEND = {"result_backend": "cache+memory://"}


def test_results_that_cannot_carry_the_instances_of_a_method_are_reported(checked: Checked) -> None:
    assert checked(SHIP, ME, result_serializer="json", **BACKEND) == [
        (
            "W001",
            f"{ME} returns model instances by its annotation, which the result_serializer 'json' "
            "cannot carry: the task would fail, after its work.",
            "CELERY_RESULT_SERIALIZER = 'cereal-json' and CELERY_ACCEPT_CONTENT = ['json', "
            "'cereal-pickle', 'cereal-json', 'cereal-yaml', 'cereal-msgpack'], or the same with "
            "'cereal-pickle'. Or ignore_result=True on the task.",
        )
    ]
    assert checked(SHIP, ME, result_serializer="cereal-pickle", **BACKEND) == []
    assert checked(SHIP, ME, result_serializer="json") == []


@pytest.mark.parametrize(
    ("annotation", "options", "is_reported"),
    [
        (Order, {}, True),
        ("Order", {}, True),
        (list[Order], {}, True),
        ("dict[str, tuple[Order, int]]", {}, True),
        ("Order | None", {}, True),
        ("models.QuerySet[Order]", {}, True),
        ("Self", {}, True),
        ("Order", {"ignore_result": True}, False),
        ("Unknown", {}, False),
        ("list[int]", {}, False),
        (None, {}, False),
    ],
    ids=without_addresses,
)
def test_annotations_tell_what_a_method_returns(
    checked: Checked, new_models: None, annotation: Any, options: Any, is_reported: bool
) -> None:
    def go(self: Any) -> Any: ...

    go.__annotations__ = {"return": annotation}
    attributes = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "shop"})}
    model: Any = type("Told", (models.Model,), {**attributes, "go": model_task(**options)(go)})

    found = checked(model.go.name, result_serializer="json", **BACKEND)

    assert [code for code, *_ in found] == (["W001"] if is_reported else [])


def test_a_name_that_another_task_has_taken_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ship() -> None: ...

    use(monkeypatch, {SHIP: ship})

    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "E005",
            f"The task name {SHIP!r} of tests.shop.models.Order:Order.ship is taken by "
            "tests.unit.test_checks_of_methods.ship.",
            "Give one of them another with name=.",
        )
    ]


@pytest.fixture
def with_options(checked: Checked, new_models: None) -> Callable[..., Found]:
    """Check a model with relations whose method has some options."""

    def check(**options: Any) -> Found:
        class Part(models.Model):
            order = models.ForeignKey(Order, models.CASCADE)
            twin = models.OneToOneField("self", models.CASCADE, related_name="other_twin")
            many = models.ManyToManyField(Order, related_name="parts")

            class Meta:
                app_label = "shop"

            @model_task(**options)
            def go(self) -> None: ...

        return checked(Part.go.name)

    return check


@pytest.mark.parametrize(
    "options",
    [
        {"select_related": True},
        {"select_related": "order"},
        {"select_related": ["order__customer", "twin__other_twin"]},
        {"prefetch_related": ["order__line_set", "many", "twin__many__parts", "other_twin"]},
        {"prefetch_related": [Prefetch("many", to_attr="orders"), "orders__customer"]},
        {"prefetch_related": [Prefetch("many", Order.objects.all())]},
    ],
    ids=without_addresses,
)
def test_relations_that_exist_are_not_reported(
    with_options: Callable[..., Found], options: Any
) -> None:
    assert with_options(**options) == []


@pytest.mark.parametrize(
    ("options", "named", "hint"),
    [
        ({"select_related": "ordr"}, ("select_related='ordr'", "shop.Part", "ordr"), "order"),
        (
            {"select_related": ["order__custmer"]},
            ("select_related='order__custmer'", "shop.Order", "custmer"),
            "customer",
        ),
        ({"select_related": "many"}, ("select_related='many'", "shop.Part", "many"), None),
        (
            {"prefetch_related": ["order__lineset"]},
            ("prefetch_related='order__lineset'", "shop.Order", "lineset"),
            "line_set",
        ),
        (
            {"prefetch_related": [Prefetch("manny")]},
            ("prefetch_related='manny'", "shop.Part", "manny"),
            "many",
        ),
    ],
    ids=without_addresses,
)
def test_a_relation_that_does_not_exist_is_reported(
    with_options: Callable[..., Found], options: Any, named: Any, hint: str | None
) -> None:
    ((code, message, remedy),) = with_options(**options)

    option, model, part = named
    assert code == "E006"
    assert message == (
        f"tests.unit.test_checks_of_methods.Part.go has {option}, and {model} has no such relation "
        f"{part!r}."
    )
    assert remedy == (f"Did you mean {hint!r}?" if hint else "It has order, other_twin, twin.")


@override_settings(CEREAL_METHODS={"MODEL_ALIASES": {"shop.Bill": "shop.Ordr"}})
def test_an_alias_of_a_model_that_does_not_exist_is_reported() -> None:
    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "E007",
            "CEREAL_METHODS['MODEL_ALIASES'] sends messages about 'shop.Bill' to 'shop.Ordr', and "
            "there is no such model.",
            "Write the label of an installed model, as in 'shop.Order'.",
        )
    ]


@override_settings(CEREAL_METHODS={"MODEL_ALIASES": {"shop.Gift": "shop.Order", "a": "shop.Order"}})
def test_an_alias_that_hides_a_model_is_reported() -> None:
    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "W002",
            "CEREAL_METHODS['MODEL_ALIASES'] sends messages about 'shop.Gift' to 'shop.Order', and "
            "there is a model 'shop.Gift': its rows would be taken for others.",
            "Take 'shop.Gift' out of MODEL_ALIASES, or rename the model.",
        )
    ]


STRONG = "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"SIGNING_KEY": STRONG}, []),
        ({"SIGNING_KEY": STRONG, "SIGNING_KEY_FALLBACKS": ["the key of the tests"]}, []),
        ({"SIGNING_KEY": "the key of the tests"}, ["W003", "W005"]),
        ({"SIGNING_KEY": b"the key of the tests"}, ["W003", "W005"]),
        ({"SIGNING_KEY": STRONG, "SIGNING_KEY_FALLBACKS": [STRONG.encode()]}, ["W004"]),
        ({"SIGNING_KEY": "another key, which was once the secret one"}, ["W003"]),
        ({"SIGNING_KEY": STRONG[:31]}, ["W005"]),
        ({"SIGNING_KEY": "abcd" * 10}, ["W005"]),
        ({"SIGNING_KEY": f"django-insecure-{STRONG}"}, ["W005"]),
        ({"SIGNING_KEY": ""}, ["E001"]),
    ],
    ids=without_addresses,
)
@override_settings(SECRET_KEY_FALLBACKS=["another key, which was once the secret one"])
def test_signing_keys_that_are_weak_or_used_twice_are_reported(
    settings: Any, ids: list[str]
) -> None:
    with override_settings(CEREAL_METHODS=settings):
        found = told(
            run_checks(tags=["cereal_methods"], databases=[], include_deployment_checks=True)
        )
        plain = told(run_checks(tags=["cereal_methods"], databases=[]))

    assert [code for code, *_ in found] == ids
    assert [code for code, *_ in plain] == [code for code in ids if code != "W005"]
    assert not any(STRONG in f"{message}{hint}" for _, message, hint in found)


@pytest.mark.django_db
def test_databases_are_looked_at_when_they_are_named(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        found = run_checks(tags=["cereal_methods"], databases=["default"])

    (warning,) = [each for each in found if each.id == "cereal_methods.W006"]
    assert isinstance(warning, CheckWarning)
    assert str(warning.msg).startswith(
        "The database 'default' (SQLite) has no select_for_update, which tests.shop.models.Gift."
    )
    assert " more ask for." in warning.msg


def test_what_a_database_has_not_got_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    features = connection.features
    for name in ("", "_nowait", "_of"):
        monkeypatch.setattr(type(features), f"has_select_for_update{name}", True)
    names = [f"tests.shop.models.{model}.add_or_skip" for model in ("Gift", "Order", "PaidOrder")]
    use(monkeypatch, {name: app.tasks[name] for name in [*names, SHIP]})

    (warning,) = check_locks(databases=["default"])

    assert told([warning]) == [
        (
            "W006",
            "The database 'default' (SQLite) has no select_for_update with skip_locked, which "
            f"{', '.join(names)} ask for.",
            "Such a task is refused when it is sent. Use another database, or take the option "
            "away.",
        )
    ]


def test_a_database_that_others_write_to_is_not_looked_at() -> None:
    assert check_locks(databases=["archive"]) == []


def test_what_keeps_a_check_from_looking_is_reported(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serializers, "_unusable", lambda name: 1 / 0)

    assert checked(SHIP) == [
        (
            "W008",
            "check_serializers could not look: ZeroDivisionError: division by zero",
            "Correct what it says, and run the checks again.",
        )
    ]


def test_the_time_of_the_checks_grows_with_the_tasks_and_no_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def takes(many: int) -> float:
        some = {
            f"{number}.{name}": app.tasks[name] for number in range(many) for name in (SHIP, ME)
        }
        use(monkeypatch, some, result_serializer="json", **BACKEND)
        found = []
        for _ in range(3):
            started = time.process_time()
            run_checks(tags=["cereal_methods"], databases=[])
            found.append(time.process_time() - started)
        return min(found)

    assert takes(2000) < 40 * takes(100)


@override_settings(SILENCED_SYSTEM_CHECKS=["cereal_methods.W006"])  # Django 6.1 asks databases
def test_the_checks_pass_with_the_command() -> None:
    call_command("check", "--fail-level", "WARNING", "--tag", "cereal_methods")


def test_errors_are_errors_of_django() -> None:
    with override_settings(CEREAL_METHODS=7):
        assert [type(each) for each in run_checks(tags=["cereal_methods"], databases=[])] == [Error]


def test_hints_that_come_together_agree(checked: Checked) -> None:
    names = [SHIP, "tests.shop.models.Order.ship_as_json"]
    settings = {
        "accept_content": ["json", "pickle", "application/x-python-serialize"],
        "task_serializer": "cereal-yaml",
        "result_serializer": "cereal-msgpack",
        **BACKEND,
    }

    found = checked(*names, **settings)

    assert [code for code, *_ in found] == ["E002", "E002", "E004"]
    (hint,) = {hint for *_, hint in found}
    accepted = ast.literal_eval(hint.removeprefix("CELERY_ACCEPT_CONTENT = "))
    assert accepted[0] == "json"
    assert {"pickle", "application/x-python-serialize"}.isdisjoint(accepted)
    assert checked(*names, **{**settings, "accept_content": accepted}) == []


def test_a_task_in_plain_pickle_is_led_to_the_signed_one(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = app.tasks[SHIP]
    for serializer in ("pickle", "yaml"):
        monkeypatch.setattr(task, "serializer", serializer)
        ((code, _, hint),) = checked(SHIP, accept_content=["json"])
        assert code == "E002"
        assert hint == (
            "CELERY_ACCEPT_CONTENT = ['json', 'yaml']"
            if serializer == "yaml"
            else "Use serializer='cereal-pickle': a worker that accepts plain pickle runs the code "
            "of whoever sends it."
        )


def test_hints_never_name_plain_pickle(checked: Checked) -> None:
    results = {"result_accept_content": ["pickle"], "result_serializer": "cereal-json", **BACKEND}
    found = [
        *checked(SHIP, accept_content=["pickle"], **results),
        *checked(ME, accept_content=["pickle"], result_serializer="json", **BACKEND),
        *checked(SHIP, result_serializer="jsn", **BACKEND),
    ]

    assert {code for code, *_ in found} == {"E002", "E003", "E004", "W001"}
    for *_, hint in found:
        assert "'pickle'" not in hint
        assert " pickle" not in hint
