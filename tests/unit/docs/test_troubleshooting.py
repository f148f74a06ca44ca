"""The page that explains every error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from cereal_methods import exceptions

from .pages import DOCS, PACKAGE

#: What makes the texts that a user sees, beside the library's own errors.
TOLD_BY = {
    *(name for name, value in vars(exceptions).items() if isinstance(value, type)),
    *("TypeError", "ValueError", "AttributeError", "DoesNotExist", "CeleryTimeoutError"),
    *("SerializerNotInstalled", "append", "warning"),
}

#: More of them, in the room of durable tasks.
RECORDS_TOLD_BY = {"error", "exception", "info", "__init__"}

#: Where a text is shown beside what it is about, and needs no page: on a command line, in a failed
#: test, on a page of the admin. System checks have a page of their own.
SPEAK_FOR_THEMSELVES = {"management", "testing", "pytest", "admin", "checks"}

OWN_OF_OTHERS = ("Celery's own", "Django's own", "kombu's own", "Python's own", "A system check")


def texts() -> Iterator[str]:
    """Give the texts of the library's errors and warnings, with ``…`` for what differs."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if SPEAK_FOR_THEMSELVES & {*path.relative_to(PACKAGE).with_suffix("").parts}:
            continue
        is_of_records = path.relative_to(PACKAGE).parts[0] == "records"
        told_by = TOLD_BY | (RECORDS_TOLD_BY if is_of_records else set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                text = text_of(node.args[0])
                if (
                    name in told_by
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
    assert any(explains(quoted, text) for quotes, _ in EXPLAINED for quoted in quotes), (
        f"docs/troubleshooting.md says nothing of this: {text}"
    )


def test_troubleshooting_explains_only_errors_that_exist() -> None:
    unknown = [
        quoted
        for quotes, about in EXPLAINED
        for quoted in quotes
        if not any(explains(quoted, text) for text in TEXTS) and not about.startswith(OWN_OF_OTHERS)
    ]

    assert len(TEXTS) > 50
    assert unknown == []


def test_every_error_has_its_own_anchor() -> None:
    anchors = re.findall(r"^\(([\w-]+)\)=\n\*\*", TROUBLESHOOTING, re.MULTILINE)

    assert len(anchors) == len(set(anchors)) >= len(EXPLAINED)
    assert [quoted for quoted, _ in EXPLAINED if f")=\n**`{quoted[0]}" not in TROUBLESHOOTING] == []
