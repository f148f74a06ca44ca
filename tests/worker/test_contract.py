"""What everybody finds who looks at a task's arguments: docs/hooks.md, as a matrix.

One worker of each pool runs every way of sending under every serializer, and each hook and
handler notes what it finds; see ``tests.watch.looking``. The tests read the notes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import signals
from django.conf import settings

from tests.celery import app
from tests.watch import looking
from tests.watch.models import Parcel

from .contract_ways import (
    METHODS,
    MODES,
    SERIALIZERS,
    Sent,
    send_all,
    send_functions,
)
from .workers import Worker, send_to

POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=2"),
    "threads": ("--pool=threads", "--concurrency=2"),
    "solo": ("--pool=solo",),
    "gevent": ("--pool=gevent", "--concurrency=4"),
}


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    """The name of each pool."""
    if request.param == "gevent":
        pytest.importorskip("gevent")
    return str(request.param)


@pytest.fixture(scope="module")
def notes(pool: str, start_worker: Callable[..., Worker], django_db_blocker: Any) -> list[Sent]:
    """Every message that a worker of a pool has run, with what was noted."""
    worker = start_worker(*POOLS[pool], "--prefetch-multiplier=16", TEST_WATCH="1")
    before = app.conf.task_default_queue
    send_to(worker)
    try:
        with django_db_blocker.unblock():
            sent = [*send_all(), *send_functions()]
    finally:
        settings.CELERY_TASK_DEFAULT_QUEUE = app.conf.task_default_queue = before
    by_id = {each.id: each for each in sent}
    running = set(by_id)

    def have_ended() -> bool:
        for event in worker.events():
            if event["what"] != "look" or event["id"] not in by_id:
                continue
            each = by_id[event["id"]]
            each.looks.append(event)
            if (event["moment"] == "postrun" and event["state"] != "RETRY") or (
                each.is_of_batch and event["moment"] == LAST_OF_ROWS.get(each.mode)
            ):
                running.discard(each.id)
        return not running

    worker.wait_for(have_ended, "every message to run")
    worker.__exit__()
    have_ended()
    return sent


#: The last moment of a row in a batch that is noted, but for one that is retried by itself.
LAST_OF_ROWS = {"ok": "request_of_method", "fail": "failure", "gone": "failure"}

#: Who looks, and in which modes a message comes by.
MOMENTS = {
    "received": MODES,
    "prerun": MODES,
    "before_start": MODES,
    "request": MODES,
    "call": MODES,
    "method": ["ok", "fail", "retry"],
    "request_of_method": ["ok", "fail", "retry"],
    "on_success": ["ok", "retry"],
    "on_failure": ["fail", "gone"],
    "failure": ["fail", "gone"],
    "on_retry": ["retry"],
    "retry": ["retry"],
    "after_return": MODES,
    "postrun": MODES,
}

SIGNALS = {"received", "prerun", "postrun"}
HOOKS = {"before_start", "request", "call", "on_success", "on_failure", "on_retry", "after_return"}

#: Who has a dict that Python made for a call: JSON refuses rows in it.
OF_PYTHON = {"call", "method"}


def is_noted(each: Sent, moment: str) -> bool:
    """Whether something is noted of a message at a moment."""
    if (moment in HOOKS and each.method == "unwatched") or (
        each.is_of_batch and moment in SIGNALS  # which are the message's own
    ):
        return False
    if each.method == "watched_other" and each.mode == "gone" and moment == "call":
        return False  # a hook before it has raised
    return each.mode in MOMENTS[moment]


def kind_at(each: Sent, moment: str) -> str:
    """Return what stands in the place of a row, by who looks."""
    if moment == "received":
        return "reference"
    if moment in ("prerun", "before_start", "request", "call"):
        return "stand-in"
    return "reference" if each.mode == "gone" else "instance"


def kind_of_this(each: Sent, moment: str) -> str:
    """Return what stands in the place of the row that a method runs on, by who looks."""
    is_key = each.way == "send_task by key"
    if each.serializer == "json" and moment in SIGNALS:
        return "key" if is_key else "plain"
    # The consumer knows no task, whose model would make a key a reference.
    return "key" if is_key and moment == "received" else kind_at(each, moment)


def expected(each: Sent, moment: str) -> dict[str, Any]:
    """Return what is to be found at a moment."""
    is_function = each.way == "function"
    kind, this = kind_at(each, moment), kind_of_this(each, moment)
    first = kind if is_function else "list" if each.way == "chain" else "str"
    queries = 0
    if each.method == "watched_other" and kind == "stand-in":
        # Whoever unpacks the arguments of such a task is taken for its call.
        first = kind = "instance"
        queries = int(moment == "prerun")
    names = ["mode"] if is_function else ["mode", "this"]
    has_pk = not is_function and this not in ("key", "plain")
    found = {
        "kind": "NoneType" if is_function else this,
        "pk": each.row.pk if has_pk else None,
        "is_row": not is_function and this in ("stand-in", "instance"),
        "kinds": [first, "key" if each.serializer == "json" else kind],
        "first_pk": each.row.pk if is_function else None,
        "types": [True, True],
        "length": 2,
        "added": 1,
        "copied": names,
        "merged": sorted([*names, "more"]),
        "listed": 2,
        "contains": [not is_function, False],
        "absent": "nothing",
        "queries": queries,
    }
    if moment not in OF_PYTHON:
        found |= {"json_args": 2, "json_kwargs": names}
    if has_pk and this == "instance":
        found |= {"number": "7", "field_queries": 0}
    return found


def _is_refused(each: Sent, look: dict[str, Any]) -> bool:
    """Whether a row that is gone has ended the look at another's task, as it ends the task."""
    return (
        each.method == "watched_other"
        and each.mode == "gone"
        and look["moment"] in ("prerun", "before_start", "request")
        and look.get("raised", "").startswith("DoesNotExist: watch.Parcel")
    )


def differences(sent: list[Sent], moment: str) -> dict[str, list[str]]:
    """Return what was found at a moment that differs from the table, and of which messages."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in sent:
        looks = each.at(moment)
        if not is_noted(each, moment):
            if not each.is_of_batch and looks:
                found["noted, and should not be"].append(str(each))
            continue
        if not looks:
            found["not noted"].append(str(each))
        for look in looks[:1]:  # a retry has the serializer of the worker's task
            if _is_refused(each, look):
                continue
            for name, value in expected(each, moment).items():
                if name not in look or look[name] != value:
                    about = f"{name} is {look.get(name, look.get('raised'))!r:.150}, not {value!r}"
                    found[about].append(str(each))
    return {what: [str(len(which)), *which[:4]] for what, which in found.items()}


@pytest.mark.parametrize("moment", MOMENTS)
def test_who_looks_finds_what_the_table_says(notes: list[Sent], moment: str) -> None:
    assert differences(notes, moment) == {}


def test_a_field_of_a_row_costs_one_query_before_the_method(notes: list[Sent]) -> None:
    for each in notes:
        first = next(iter(each.at("prerun")), {})
        if first.get("kind") == "stand-in":
            assert first["field_queries"] == 1
            missing = f"DoesNotExist: watch.Parcel {each.row.pk} in database 'default'"
            assert first["number"].startswith(missing if each.mode == "gone" else "7")


def test_no_text_about_arguments_has_a_query_or_an_instance_in_it(notes: list[Sent]) -> None:
    for each in notes:
        for look in each.looks:
            if look["moment"] not in OF_PYTHON and "repr" in look:
                assert "object (" not in look["repr"]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is noted in this process."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(looking, "mark", lambda what, **about: found.append(about))
    handlers = [
        (signals.task_prerun, looking._on_prerun),
        (signals.task_postrun, looking._on_postrun),
        (signals.task_failure, looking._on_failure),
        (signals.task_retry, looking._on_retry),
    ]
    for signal, handler in handlers:
        signal.connect(handler)
    yield found
    for signal, handler in handlers:
        signal.disconnect(handler)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["apply", *(f"eager {name}" for name in SERIALIZERS)])
def test_who_looks_finds_the_same_in_eager_mode(
    looks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, way: str, method: str, mode: str
) -> None:
    row, other = Parcel.objects.create(), Parcel.objects.create(number="other")
    if mode == "gone":
        Parcel.objects.filter(pk=row.pk).delete()
    serializer = way.partition(" ")[2]
    args: list[Any] = ["first", 2 if serializer == "json" else other]
    kwargs = {"mode": "ok" if mode == "gone" else mode}
    if way == "apply":
        getattr(row, method).apply(args, kwargs)
    else:
        app.conf.task_always_eager = True
        try:
            getattr(row, method).apply_async(args, kwargs, serializer=serializer)
        finally:
            app.conf.task_always_eager = False

    each = Sent("eager", serializer, method, mode, row, other, "")
    each.looks = looks
    monkeypatch.setattr(f"{__name__}.SIGNALS", set())  # eager calls have no form of Celery's own
    assert {
        moment: found
        for moment in MOMENTS
        if moment != "received" and (found := differences([each], moment))
    } == {}
