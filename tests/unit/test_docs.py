"""The pages in docs/: their examples run, they name what there is, their links lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from textwrap import dedent

import pytest

import cereal_methods
from cereal_methods import admin, conf, exceptions, options, testing

from .examples import IMPORTS, ORDER, PROJECT, Block, blocks, run_examples
from .interpreters import ROOT

DOCS = ROOT / "docs"

#: Pages that tests of their own run: the tutorial with a real worker, others with what they need.
ELSEWHERE = {DOCS / f"{name}.md" for name in ("admin", "django-tasks", "testing", "tutorial")}

PAGES = {
    str(page.relative_to(DOCS)): found
    for page in sorted(DOCS.rglob("*.md"))
    if page not in ELSEWHERE and (found := blocks(page))
}

#: What the tutorial has a reader configure.
SETTINGS = """
INSTALLED_APPS += ["cereal_methods"]
CELERY_ACCEPT_CONTENT = ["json", "cereal-pickle", "cereal-json"]
CELERY_RESULT_SERIALIZER = "cereal-pickle"
"""


def project(models: str = ORDER) -> dict[str, str]:
    """Return the files of a reader who has done the tutorial, with these models."""
    settings = dedent(PROJECT["config/settings.py"]) + SETTINGS
    return {**PROJECT, "config/settings.py": settings, "shop/models.py": IMPORTS + models}


@pytest.mark.parametrize("page", PAGES)
def test_every_example_runs(page: str, tmp_path: Path) -> None:
    shows_order = any("class Order(" in block.source for block in PAGES[page])

    failed = run_examples(page, PAGES[page], tmp_path, project("" if shows_order else ORDER))

    assert not failed, "\n".join(failed)


def test_an_example_that_is_wrong_is_told(tmp_path: Path) -> None:
    wrong = [
        Block(3, "python", None, "order.ship()"),
        Block(7, "pycon", None, ">>> order.ship(\"dhl\")\n'by air'\n"),
        Block(9, "python", None, "x = 1"),
    ]

    failed = run_examples("page.md", wrong, tmp_path, project())

    assert failed[0].startswith("line 4: TypeError: ")
    assert "Expected:\n    'by air'\nGot:\n    'order 1 went out with dhl'" in failed[1]
    assert len(failed) == 2


def test_the_settings_are_those_that_there_are() -> None:
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


PUBLIC = [
    *cereal_methods.__all__,
    *admin.__all__,
    *testing.__all__,
    *("TaskFields", "RowIntegration", "RowSpanProcessor", "row_of", "fields"),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    pages = [page.read_text() for page in (DOCS / "reference").glob("*.md")]

    assert f"`{name}`" in (DOCS / "reference" / "index.md").read_text()
    assert any(re.search(rf"(:: |`|\.){name}\b", page) for page in pages)


def test_every_error_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    shown = re.findall(r"^\| `(\w+)` +\|", page, re.MULTILINE)

    assert sorted(["CerealError", *shown]) == sorted(
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__
    )


#: What makes the texts that a user sees, beside the library's own errors.
TOLD_BY = {
    *(name for name, value in vars(exceptions).items() if isinstance(value, type)),
    *("TypeError", "ValueError", "AttributeError", "DoesNotExist", "CeleryTimeoutError"),
    *("SerializerNotInstalled", "append", "warning"),
}
PACKAGE = Path(cereal_methods.__file__).parent
#: Where a text is shown beside what it is about, and needs no page: on a command line, in a failed
#: test, on a page of the admin. System checks have a page of their own.
SPEAK_FOR_THEMSELVES = {"management", "testing", "pytest_plugin", "admin", "checks"}
OWN_OF_OTHERS = ("Celery's own", "Django's own", "kombu's own", "Python's own", "A system check")


def texts() -> Iterator[str]:
    """Give the texts of the library's errors and warnings, with ``…`` for what differs."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if SPEAK_FOR_THEMSELVES & {*path.relative_to(PACKAGE).with_suffix("").parts}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                text = text_of(node.args[0])
                if (
                    name in TOLD_BY
                    and not text.startswith("module ")
                    and len(text.replace("…", "")) > 20
                ):
                    yield text
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "wrong":
                ending = text_of(node.value)
                if " " in ending:
                    yield re.sub(" +(?=[ :])", "", f"… cannot be sent {ending}")


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%(\.\d)?[sfr]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


TEXTS = sorted(set(texts()))
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()
#: The texts that the page goes through, and the first words about them.
EXPLAINED = [
    (re.findall(r"\*\*`(.+?)`\*\*", match[1]), match[2])
    for match in re.finditer(
        r"^((?:\*\*`.+`\*\*\\?\n)+)\n(.{20})", TROUBLESHOOTING, re.MULTILINE | re.DOTALL
    )
]


def explains(quoted: str, text: str) -> bool:
    parts = [part for part in quoted.split("…") if part.strip(" :.'\"")]
    return bool(re.search(".*".join(map(re.escape, parts)), text)) and len("".join(parts)) > 12


@pytest.mark.parametrize("text", TEXTS)
def test_troubleshooting_explains_every_error(text: str) -> None:
    assert any(explains(quoted, text) for found, _ in EXPLAINED for quoted in found), (
        f"docs/troubleshooting.md says nothing of this: {text}"
    )


def test_troubleshooting_explains_no_error_that_there_is_not() -> None:
    unknown = [
        quoted
        for found, about in EXPLAINED
        for quoted in found
        if not any(explains(quoted, text) for text in TEXTS) and not about.startswith(OWN_OF_OTHERS)
    ]

    assert len(TEXTS) > 50
    assert unknown == []


def test_every_error_has_an_anchor_of_its_own() -> None:
    anchors = re.findall(r"^\(([\w-]+)\)=\n\*\*", TROUBLESHOOTING, re.MULTILINE)

    assert len(anchors) == len(set(anchors)) >= len(EXPLAINED)
    assert [quoted for quoted, _ in EXPLAINED if f")=\n**`{quoted[0]}" not in TROUBLESHOOTING] == []


def test_every_system_check_has_an_anchor() -> None:
    page = (DOCS / "checks.md").read_text()
    sources = [*(PACKAGE / "checks").glob("*.py"), PACKAGE / "admin" / "checks.py"]
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


def test_contributing_lists_the_modules_that_there_are() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Modules\n")[2]
    shown = re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert sorted(shown) == sorted(modules | packages)


def test_contributing_follows_a_call_from_stop_to_stop() -> None:
    """Each is there, and none is visited twice."""
    walk = (ROOT / "CONTRIBUTING.md").read_text().partition("## Follow ")[2].partition("## ")[0]
    stops = re.findall(r"^\d+\. `([\w.]+)`: ", walk, re.MULTILINE)

    assert len(stops) == len(set(stops)) > 20
    for stop in [*stops, *re.findall(r" `(\w+\.\w+)` ", walk)]:
        assert resolve_name(f"cereal_methods.{stop}") is not None


LINKING = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *DOCS.rglob("*.md")], key=lambda page: str(page)
)


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)

    assert dead == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: those that it names, and its headings as MyST makes them."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return {*named, *slugs}
