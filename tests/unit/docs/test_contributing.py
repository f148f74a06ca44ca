"""CONTRIBUTING lists the modules, and follows a call through them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import pytest

from cereal_methods.running import bodies, envelopes
from tests.shop.models import Order

from ..interpreters import ROOT
from ..sending.messages import trace
from ..test_layers import floors
from .pages import PACKAGE

Sent = Callable[[], list[Any]]

#: The rooms of which CONTRIBUTING lists each module.
ROOMS = ("records", "sending", "running", "results", "serializers", "rows")


def test_contributing_lists_every_module() -> None:
    tables = (ROOT / "CONTRIBUTING.md").read_text().partition("## Rooms\n")[2]
    shown = set()
    for table in re.findall(r"(?:^\|.*\|\n)+", tables, re.MULTILINE):
        names = re.findall(r"^\| `([\w.]+)` ", table, re.MULTILINE)
        room = f"{names.pop(0)}." if names and names[0] in ROOMS else ""
        shown.update(f"{room}{name}" for name in names)

    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    modules = {path.parts for path in paths if path.name != "__init__"}
    assert sorted(shown) == sorted(
        {".".join(parts) if parts[0] in ROOMS else parts[0] for parts in modules}
    )


def walk() -> str:
    """Return the section that follows a call."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.partition("## Follow ")[2].partition("## ")[0]


def stops() -> list[str]:
    """Return the names of what the call passes through."""
    return re.findall(r"^\d+\. `([\w.]+)`: ", walk(), re.MULTILINE)


def test_contributing_follows_a_call_and_visits_no_stop_twice() -> None:
    assert len(stops()) == len(set(stops())) > 20


def test_the_turnings_off_the_road_exist() -> None:
    turnings = re.findall(r" `(running\.[\w.]+)` ", walk())

    assert len(turnings) == 5
    for turning in turnings:
        assert resolve_name(f"cereal_methods.{turning}") is not None


@pytest.mark.django_db
def test_a_call_passes_through_the_stops_in_their_order(order: Order, sent: Sent) -> None:
    # The first stop is written in C, and headers are made when models are loaded.
    elsewhere = {"sending.descriptor.ModelTask", "sending.headers.header"}
    codes = {code_of(stop): stop for stop in stops() if stop not in elsewhere}
    passed: dict[str, None] = {}

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in codes:
            passed.setdefault(codes[frame.f_code])

    sys.setprofile(profile)
    try:
        result = order.ship.delay("dhl")
        (message,) = sent()
        assert envelopes.error_in(message) is None
        assert bodies.error_in(message, Order.ship.name) is None
        trace(message)
        assert result.get() == "shipped"
    finally:
        sys.setprofile(None)

    assert list(passed) == [stop for stop in stops() if stop not in elsewhere]


def code_of(stop: str) -> Any:
    """Return the code of a function; of a class that of its ``__init__``."""
    stop_object: Any = resolve_name(f"cereal_methods.{stop}")
    function = stop_object.__init__ if isinstance(stop_object, type) else stop_object
    return inspect.unwrap(function).__code__


def test_contributing_lists_the_floors_of_the_import_contract() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Rooms\n")[2]
    listed = re.findall(r"^\d\. (`.+`)$", text, re.MULTILINE)

    assert [set(re.findall(r"`(\w+)`", floor)) for floor in listed] == floors()


def test_the_glossary_has_25_terms_at_most() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    glossary = text.partition("<!-- glossary -->")[2].partition("<!-- end of glossary -->")[0]
    terms = re.findall(r"^\| \*([\w ]+)\* \| .+\. \|$", glossary, re.MULTILINE)

    assert 20 <= len(terms) == len(set(terms)) <= 25
