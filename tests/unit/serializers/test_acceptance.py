"""Serializers that the apps of this process accept, or do not."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from kombu.serialization import registry

from cereal_methods.exceptions import SerializerNotAccepted
from cereal_methods.serializers import acceptance
from tests.celery import app

from ..bodies import call_body, decode, encode


def test_a_serializer_that_no_worker_accepts_is_refused(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]

    with pytest.raises(SerializerNotAccepted) as caught:
        encode(call_body([1]), name)

    assert caught.value.about == name
    assert str(caught.value) == (
        f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
        f"settings: CELERY_ACCEPT_CONTENT = ['json', {name!r}]"
    )


def test_a_content_type_is_accepted_too(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = [registry.name_to_type[name]]

    encode(call_body([1]), name)


def test_a_result_serializer_need_not_be_accepted_here(name: str, settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]

    assert decode(encode({"status": "SUCCESS", "result": 1}, name), name)["result"] == 1


def test_a_process_without_an_app_is_told_to_load_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        acceptance, "active_apps", lambda: [Celery("default", set_as_current=False)]
    )

    with pytest.raises(SerializerNotAccepted) as caught:
        acceptance.check_accepted("cereal-unheard-of")

    assert str(caught.value).startswith("No Celery app is loaded here, so messages cannot be sent")
    assert caught.value.about == "cereal-unheard-of"


def test_the_serializers_of_this_library_are_checked_as_they_encode(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["cereal-pickle"]
    monkeypatch.setattr(acceptance, "active_apps", lambda: [app])

    acceptance.check_foreign("cereal-json")
    with pytest.raises(SerializerNotAccepted, match="accept_content lacks 'json'"):
        acceptance.check_foreign("json")


def test_plain_pickle_is_not_recommended(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]
    monkeypatch.setattr(acceptance, "active_apps", lambda: [app])

    with pytest.raises(SerializerNotAccepted, match="accept_content lacks 'pickle', as it should"):
        acceptance.check_accepted("pickle")
    assert acceptance.without_pickle(["json", "pickle", "application/x-python-serialize"]) == [
        "json"
    ]
