"""The settings in ``CEREAL_METHODS``: their defaults, valid values and errors."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from kombu.exceptions import EncodeError

from cereal_methods import conf
from tests.shop.models import Order

from .bodies import call_body, encode, stored

SETTINGS = (
    "Settings are SERIALIZER, SIGNING_KEY, SIGNING_KEY_FALLBACKS, SIGN_ALL, REQUIRE_SIGNED, "
    "REQUIRE_BOUND, ON_COMMIT, ON_MISSING, "
    "FETCH_MAX_RETRIES, FETCH_RETRY_BACKOFF, FETCH_RETRY_BACKOFF_MAX, MAX_CRASHES, DURABLE, "
    "DURABLE_MAX_CRASHES, RECORDS_INTERVAL, RECORDS_KEEP, MODEL_ALIASES."
)

#: What may be wrong with the setting, and what is said about it.
WRONG: list[tuple[Any, list[str]]] = [
    (["SERIALIZER"], ["CEREAL_METHODS must be a dict, not a list."]),
    ("cereal-json", ["CEREAL_METHODS must be a dict, not a str."]),
    ([], ["CEREAL_METHODS must be a dict, not a list."]),
    (
        {"SERIALISER": "json"},
        ["CEREAL_METHODS has no setting 'SERIALISER'. Did you mean 'SERIALIZER'?"],
    ),
    (
        {"on_missing": "raise"},
        ["CEREAL_METHODS has no setting 'on_missing'. Did you mean 'ON_MISSING'?"],
    ),
    ({"QUEUE": "slow"}, [f"CEREAL_METHODS has no setting 'QUEUE'. {SETTINGS}"]),
    ({5: "slow"}, [f"CEREAL_METHODS has no setting 5. {SETTINGS}"]),
    *(
        ({name: value}, [f"CEREAL_METHODS[{name!r}] must be {expected}."])
        for name, expected, values in [
            ("SERIALIZER", "the name of a serializer", [None, 5, b"cereal-json", object]),
            ("SIGNING_KEY", "a string that is not empty", ["", b"", 5, ["key"]]),
            ("SIGNING_KEY_FALLBACKS", "a list of strings", ["key", [""], [5], {"key": "key"}]),
            ("ON_COMMIT", "True or False", [None, 1, "yes"]),
            ("ON_MISSING", "'raise', 'discard' or 'retry'", [None, "ignore", True, print]),
            ("FETCH_MAX_RETRIES", "a whole number", [None, -1, 1.5, "3", True]),
            ("FETCH_RETRY_BACKOFF", "a number of seconds", [None, -1, "3", True]),
            ("FETCH_RETRY_BACKOFF_MAX", "a number of seconds", [None, -0.1, "3", False]),
            ("MAX_CRASHES", "a whole number, at least 1", [None, 0, -1, 1.5, "3", True]),
            ("DURABLE", "True or False", [None, 1, "yes"]),
            ("DURABLE_MAX_CRASHES", "a whole number, at least 1", [None, 0, -1, 1.5, "3", True]),
            ("RECORDS_INTERVAL", "a number of seconds", [None, -1, "3", True]),
            ("RECORDS_KEEP", "a number of days", [None, -1, "3", True]),
            ("MODEL_ALIASES", "a dict of labels", [None, ["shop.Order"], {"shop.Old": Order}]),
        ]
        for value in values
    ),
    (
        {"ON_COMMIT": "yes", "ON_MISING": "raise", "SIGNING_KEY": ""},
        [
            "CEREAL_METHODS has no setting 'ON_MISING'. Did you mean 'ON_MISSING'?",
            "CEREAL_METHODS['SIGNING_KEY'] must be a string that is not empty.",
            "CEREAL_METHODS['ON_COMMIT'] must be True or False.",
        ],
    ),
]

RIGHT: list[dict[str, Any]] = [
    {"SERIALIZER": "cereal-json"},
    {"SERIALIZER": "json"},
    {"SIGNING_KEY": "key"},
    {"SIGNING_KEY": b"key"},
    {"SIGNING_KEY": None},
    {"SIGNING_KEY_FALLBACKS": ["old", b"older"]},
    {"SIGNING_KEY_FALLBACKS": ()},
    {"SIGNING_KEY_FALLBACKS": None},
    {"ON_COMMIT": True},
    {"ON_COMMIT": False},
    {"ON_MISSING": "raise"},
    {"ON_MISSING": "discard"},
    {"ON_MISSING": "retry"},
    {"FETCH_MAX_RETRIES": 0},
    {"FETCH_RETRY_BACKOFF": 0.5},
    {"FETCH_RETRY_BACKOFF_MAX": 3600},
    {"MAX_CRASHES": 1},
    {"DURABLE": True},
    {"DURABLE_MAX_CRASHES": 1},
    {"RECORDS_INTERVAL": 0.5},
    {"RECORDS_KEEP": 30},
    {"MODEL_ALIASES": {"shop.Purchase": "shop.Order"}},
]

DEFAULTS = {
    "SERIALIZER": "cereal-pickle",
    "SIGNING_KEY": None,
    "SIGNING_KEY_FALLBACKS": None,
    "SIGN_ALL": False,
    "REQUIRE_SIGNED": False,
    "REQUIRE_BOUND": False,
    "ON_COMMIT": False,
    "ON_MISSING": "raise",
    "FETCH_MAX_RETRIES": 10,
    "FETCH_RETRY_BACKOFF": 1,
    "FETCH_RETRY_BACKOFF_MAX": 60,
    "MAX_CRASHES": 5,
    "DURABLE": False,
    "DURABLE_MAX_CRASHES": 5,
    "RECORDS_INTERVAL": 1,
    "RECORDS_KEEP": 7,
    "MODEL_ALIASES": {},
}


@pytest.mark.parametrize("setting", [{}, None])
def test_a_setting_that_is_not_set_has_its_default(setting: Any) -> None:
    with override_settings(CEREAL_METHODS=setting):
        assert {name: conf.get(name) for name in conf.DEFAULTS} == DEFAULTS


def test_the_whole_setting_may_be_missing(settings: Any) -> None:
    del settings.CEREAL_METHODS

    assert {name: conf.get(name) for name in conf.DEFAULTS} == DEFAULTS
    assert conf.problems() == []


@pytest.mark.parametrize("setting", RIGHT, ids=str)
def test_a_configured_value_is_used(setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()

    with override_settings(CEREAL_METHODS=setting):
        assert conf.get(name) == value
        assert conf.problems() == []


def test_the_other_settings_keep_their_defaults() -> None:
    with override_settings(CEREAL_METHODS={"ON_COMMIT": True}):
        assert {name: conf.get(name) for name in conf.DEFAULTS} == {**DEFAULTS, "ON_COMMIT": True}


@pytest.mark.parametrize(("setting", "messages"), WRONG, ids=str)
def test_a_wrong_setting_is_an_error_of_the_configuration(setting: Any, messages: Any) -> None:
    with override_settings(CEREAL_METHODS=setting):
        assert conf.problems() == messages
        with pytest.raises(ImproperlyConfigured) as caught:
            conf.get("SERIALIZER")

    assert str(caught.value) == " ".join(messages)


def test_a_wrong_setting_keeps_messages_from_being_signed() -> None:
    with (
        override_settings(CEREAL_METHODS={"SIGNING_KEY": ""}),
        pytest.raises(EncodeError) as caught,
    ):
        encode(call_body([1]), "cereal-pickle")

    error = caught.value.args[0]
    assert type(error) is ImproperlyConfigured
    assert str(error) == "CEREAL_METHODS['SIGNING_KEY'] must be a string that is not empty."


def test_a_wrong_setting_keeps_methods_from_being_sent() -> None:
    with (
        override_settings(CEREAL_METHODS={"ON_COMIT": True}),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        stored(Order, pk=5).ship.delay("dhl")

    assert str(caught.value) == (
        "CEREAL_METHODS has no setting 'ON_COMIT'. Did you mean 'ON_COMMIT'?"
    )


def test_a_setting_is_read_when_it_is_used() -> None:
    plain = encode(call_body([1]), "cereal-pickle")

    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "another"}):
        changed = encode(call_body([1]), "cereal-pickle")

    assert changed != plain
    assert encode(call_body([1]), "cereal-pickle") == plain
