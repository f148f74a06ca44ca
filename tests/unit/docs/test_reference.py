"""The reference lists every setting, option, public name, error and check."""

from __future__ import annotations

import ast
import re
from pkgutil import resolve_name

import pytest
from celery.bootsteps import Step

from cereal_methods import conf, exceptions
from cereal_methods.sending import options

from ..examples import blocks
from .pages import DOCS, PACKAGE


def test_the_reference_shows_every_setting_and_default() -> None:
    (shown,) = blocks(DOCS / "reference" / "settings.md")
    names: dict[str, object] = {}
    exec(shown.source, names)

    assert names["CEREAL_METHODS"] == dict(conf.DEFAULTS)


def test_every_setting_has_its_paragraph() -> None:
    text = (DOCS / "reference" / "settings.md").read_text()

    assert re.findall(r"^## ([A-Z_]+)$", text, re.MULTILINE) == list(conf.DEFAULTS)


def test_every_option_is_in_the_reference() -> None:
    """With its type and its default."""
    text = (DOCS / "reference" / "options.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) +\|(.*)\|$", text, re.MULTILINE)
    shown = [name for names, about in rows for name in re.findall(r"`(\w+)`", names)]
    known = options.FunctionOptions.__optional_keys__ | options.MethodOptions.__optional_keys__

    assert sorted(shown) == sorted({*known, "base", "bind"})
    assert [names for names, about in rows if not all(map(str.strip, about.split("|")))] == []


INDEX = (DOCS / "reference" / "index.md").read_text()
#: Public names by their modules, as the reference lists them, each with the page that describes it.
LISTED = {
    module: {
        name: page
        for link, page in re.findall(r"\[(.+?)\]\(([\w-]+\.md)[^)]*\)", names)
        for name in re.findall(r"`(\w+)`", link)
    }
    for module, names in re.findall(r"^\| `(cereal_methods[\w.]*)` \| (.+) \|$", INDEX, re.M)
}


def exported(module: str) -> list[str]:
    """Return a module's ``__all__``, without importing what the module may need."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise LookupError(f"{module} has no __all__")


@pytest.mark.parametrize("module", sorted({*LISTED} - {"cereal_methods.exceptions"}))
def test_the_reference_lists_what_a_module_exports(module: str) -> None:
    assert sorted(LISTED[module]) == sorted(exported(module))


def test_the_reference_lists_every_integration() -> None:
    modules = {path.stem for path in (PACKAGE / "integrations").glob("[a-z]*.py")}

    assert {f"cereal_methods.integrations.{name}" for name in modules - {"pytest"}} == {
        module for module in LISTED if module.startswith("cereal_methods.integrations.")
    }


@pytest.mark.parametrize(
    ("module", "name", "page"),
    [(module, name, page) for module in LISTED for name, page in LISTED[module].items()],
)
def test_the_reference_describes_every_public_name(module: str, name: str, page: str) -> None:
    text = (DOCS / "reference" / page).read_text()

    assert re.search(
        rf"^\.\. (py:|auto)\w+:: [\w.]*\b{name}\b"  # by itself
        rf"|^\.\. automodule:: {module}[\w.]*\n   :members:(\n|.*\b{name}\b)"  # with its module
        rf"|^\|.*`{name}`",  # in a table
        text,
        re.MULTILINE,
    )


def test_the_step_for_consumers_is_where_the_reference_says() -> None:
    page = (DOCS / "reference" / "integrations.md").read_text()
    (path,) = re.findall(r'"(cereal_methods[\w.]+:\w+)"', page)

    assert issubclass(resolve_name(path), Step)


def test_the_fixtures_of_pytest_are_named() -> None:
    assert all(f"`{name}`" in INDEX for name in exported("cereal_methods.integrations.pytest"))


def test_every_error_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    shown = re.findall(r"^\| `(\w+)` +\|", page, re.MULTILINE)

    assert sorted(["CerealError", *shown]) == sorted(
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__
    )


def test_every_system_check_has_an_anchor() -> None:
    page = (DOCS / "checks.md").read_text()
    sources = [*(PACKAGE / "checks").glob("*.py")]
    sources += [PACKAGE / room / "checks.py" for room in ("admin", "records")]
    ids = {
        each
        for path in sources
        for each in re.findall(r"(?<!security\.)\b[EW]\d{3}\b", path.read_text())
    }

    assert len(ids) > 20
    anchored = re.findall(
        r"^\(cereal-methods-(\w+)\)=\n### cereal_methods\.(\w+)$", page, re.MULTILINE
    )
    assert {name for _, name in anchored} == ids
    assert [name for anchor, name in anchored if anchor != name.lower()] == []
