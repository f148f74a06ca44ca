"""Durable tasks that a view sends: with ATOMIC_REQUESTS they share the request's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

DATABASES = ("default", "archive")

#: How many messages were sent before a view has returned.
sent_early: list[int] = []


def charge(request: HttpRequest, then: str) -> HttpResponse:
    """Open an account on each database and charge it; then raise, or return a response."""
    results = []
    for alias in DATABASES:
        account = Account.objects.using(alias).create(name="new")
        results.append(account.charge.delay(5).id)
    sent_early.append(len(request.META["messages"]()))
    if then == "raise":
        raise ValueError("The view has failed.")
    return HttpResponse(" ".join(results), status=int(then))


@transaction.non_atomic_requests(using="default")
@transaction.non_atomic_requests(using="archive")
def charge_at_once(request: HttpRequest, then: str) -> HttpResponse:
    """Do the same without a transaction."""
    return charge(request, then)


urlpatterns = [
    path("charge/<then>/", charge),
    path("charge-at-once/<then>/", charge_at_once),
]


@pytest.fixture
def post(settings: Any, sent: Callable[[], list[Any]]) -> Iterator[Callable[[str], Any]]:
    """Call a view whose requests are atomic on both databases."""
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False, messages=sent)
    before = {alias: connections[alias].settings_dict["ATOMIC_REQUESTS"] for alias in DATABASES}
    for alias in DATABASES:
        connections[alias].settings_dict["ATOMIC_REQUESTS"] = True
    sent_early.clear()
    yield client.post
    for alias in DATABASES:
        connections[alias].settings_dict["ATOMIC_REQUESTS"] = before[alias]


def recorded() -> dict[str, list[str]]:
    """Return the states of the records of each database."""
    return {
        alias: list(TaskRecord.objects.using(alias).values_list("state", flat=True))
        for alias in DATABASES
    }


@pytest.mark.parametrize("status", ["200", "404", "500"])
def test_what_a_view_sends_goes_out_when_its_transaction_commits(
    post: Callable[[str], Any], sent: Callable[[], list[Any]], status: str
) -> None:
    """Django commits for every response, whatever its status."""
    response = post(f"/charge/{status}/")
    assert sent_early == [0]
    ids = [message.headers["id"] for message in sent()]
    assert ids == response.content.decode().split()
    assert recorded() == {alias: [State.SENT] for alias in DATABASES}


def test_an_exception_in_a_view_takes_its_tasks_back(
    post: Callable[[str], Any], sent: Callable[[], list[Any]]
) -> None:
    assert post("/charge/raise/").status_code == 500
    assert sent_early == [0]
    assert sent() == []
    assert recorded() == {alias: [] for alias in DATABASES}
    assert not Account.objects.filter(name="new").exists()


def test_the_next_request_is_not_affected(
    post: Callable[[str], Any], sent: Callable[[], list[Any]]
) -> None:
    post("/charge/raise/")
    response = post("/charge/200/")
    assert [message.headers["id"] for message in sent()] == response.content.decode().split()


def test_a_view_without_a_transaction_sends_at_once(
    post: Callable[[str], Any], sent: Callable[[], list[Any]]
) -> None:
    assert post("/charge-at-once/raise/").status_code == 500
    assert sent_early == [2]
    assert all(len(states) == 1 for states in recorded().values())
