"""The examples of a page, run in a project that is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from .interpreters import run_program

PROJECTS = Path(__file__).with_name("projects")


def project(*names: str) -> dict[str, str]:
    """Return the files of a project, by path: those of ``projects/reader`` and of further folders.

    A later folder replaces the files of earlier ones.
    """
    return {
        path.relative_to(PROJECTS / name).as_posix(): path.read_text()
        for name in ("reader", *names)
        for path in (PROJECTS / name).rglob("*.py")
    }


def write_project(
    directory: Path, start: Mapping[str, str], examples: Iterable[tuple[str, str]]
) -> list[str]:
    """Write what a project starts with, and examples by file; return the paths of the files."""
    sources = {name: [text] for name, text in start.items()}
    for name, text in examples:
        sources.setdefault(name, []).append(text)
    for name, parts in sources.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join(parts))
    return list(sources)


class Block(NamedTuple):
    """One example: the line before it, the file that it belongs to, if any, and its text."""

    line: int
    kind: str
    file: str | None
    source: str


def blocks(page: Path) -> list[Block]:
    """Return the examples of a page that are Python, but for those that it says are not to run."""
    text = page.read_text()
    examples = []
    fences = re.compile(
        r"(<!-- not run: .+ -->\n+)?^( *)```(python|pycon)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL
    )
    for match in fences.finditer(text):
        if match[1]:
            continue
        line = text.count("\n", 0, match.start(4))
        source = dedent(match[4])
        file = re.match(r"# (\w+(?:/\w+)*\.py)\n", source)
        examples.append(Block(line, match[3], file and file[1], source))
    return examples


def run_examples(
    page: str, examples: Iterable[Block], directory: Path, start: Mapping[str, str]
) -> list[str]:
    """Run a page's examples in a project that begins as ``start``, and return what failed."""
    examples = list(examples)
    files = write_project(
        directory, start, [(block.file, block.source) for block in examples if block.file]
    )
    calls = [(block.line, block.kind, block.source) for block in examples if not block.file]
    modules = [name.removesuffix(".py").replace("/", ".") for name in files]
    imported = [name for name in modules if name.startswith("shop.")]
    (directory / "calls.json").write_text(json.dumps([page, imported, calls]))
    printed = run_program("examples", directory=directory, settings="config.settings")
    failed: list[str] = json.loads(printed.splitlines()[-1])
    return failed
