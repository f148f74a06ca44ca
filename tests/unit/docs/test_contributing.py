"""CONTRIBUTING lists the modules, and follows a call through them."""

from __future__ import annotations

import re
from pkgutil import resolve_name

from ..interpreters import ROOT
from ..test_layers import floors
from .pages import PACKAGE

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


def test_contributing_follows_a_call_from_stop_to_stop() -> None:
    """Each is there, and none is visited twice."""
    walk = (ROOT / "CONTRIBUTING.md").read_text().partition("## Follow ")[2].partition("## ")[0]
    stops = re.findall(r"^\d+\. `([\w.]+)`: ", walk, re.MULTILINE)

    assert len(stops) == len(set(stops)) > 20
    for stop in [*stops, *re.findall(r" `(\w+\.\w+)` ", walk)]:
        assert resolve_name(f"cereal_methods.{stop}") is not None


def test_contributing_lists_the_floors_of_the_import_contract() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Rooms\n")[2]
    listed = re.findall(r"^\d\. (`.+`)$", text, re.MULTILINE)

    assert [set(re.findall(r"`(\w+)`", floor)) for floor in listed] == floors()


def test_the_glossary_has_25_terms_at_most() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    glossary = text.partition("<!-- glossary -->")[2].partition("<!-- end of glossary -->")[0]
    terms = re.findall(r"^\| \*([\w ]+)\* \| .+\. \|$", glossary, re.MULTILINE)

    assert 20 <= len(terms) == len(set(terms)) <= 25
