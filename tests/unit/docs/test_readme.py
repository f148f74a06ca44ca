"""All examples of the README run, in a project that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..examples import Block, blocks, project, run_examples
from ..interpreters import ROOT

BLOCKS = blocks(ROOT / "README.md")


def test_the_examples_are_found() -> None:
    assert {block.file for block in BLOCKS} == {
        None,
        "config/settings.py",
        "shop/models.py",
    }
    assert BLOCKS[0].source.startswith("# shop/models.py\nfrom django.db import models\n")


def test_every_example_runs(tmp_path: Path) -> None:
    shipped = 'assert ("shipped", "dhl") in Order.objects.values_list("status", "carrier")'

    examples = [*BLOCKS, Block(0, "python", None, shipped)]
    failed = run_examples("README.md", examples, tmp_path, project())

    assert not failed, "\n".join(failed)


def test_the_package_index_can_show_it() -> None:
    """Without links that lead nowhere there, and not longer than a reader's patience."""
    text = (ROOT / "README.md").read_text()

    assert len(text.split()) <= 700
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"^\[.+\]: (.+)$", text, re.MULTILINE)
    assert [link for link in links if not link.startswith("https://")] == []
    paths = re.findall(r"`(docs/[^`]+|[A-Z]+\.md)`", text)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", ["tox run -e demo", "tox run"])
def test_the_commands_are_one_line_each(command: str) -> None:
    lines = (ROOT / "README.md").read_text().splitlines()

    assert f"$ python -m pip install tox && {command}" in lines


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_the_tests_that_are_named_exist(page: Path) -> None:
    path = ""
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", page.read_text()):
        path = named or path
        assert not path or (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"


def test_every_guarantee_names_a_test() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    rows = re.findall(r"^\| (?!what|-)(.*?) +\| (.*?) +\|$", text, flags=re.MULTILINE)
    assert len(rows) >= 18
    assert [guarantee for guarantee, test in rows if "::test_" not in test] == []
