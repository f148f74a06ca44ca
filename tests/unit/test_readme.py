"""The examples of the README, which all run: in a project that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .examples import PROJECT, Block, blocks, run_examples
from .interpreters import ROOT

BLOCKS = blocks(ROOT / "README.md")


def test_the_examples_are_found() -> None:
    assert {block.file for block in BLOCKS} == {
        None,
        "config/settings.py",
        "shop/models.py",
        "shop/tasks.py",
    }
    assert BLOCKS[0].source.startswith("# shop/models.py\nfrom django.db import models\n")


def test_every_example_runs(tmp_path: Path) -> None:
    project = {**PROJECT, "shop/models.py": "def deliver(invoice, copy_to): ..."}
    shipped = 'assert ("shipped", "dhl") in Order.objects.values_list("status", "carrier")'

    failed = run_examples(
        "README.md", [*BLOCKS, Block(0, "python", None, shipped)], tmp_path, project
    )

    assert not failed, "\n".join(failed)


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
    text = (ROOT / "README.md").read_text()
    table = text.partition("## Guarantees and limits\n")[2].partition("- *At dispatch*")[0]
    rows = re.findall(r"^\| (?!what|-)(.*?) +\| (.*?) +\|$", table, flags=re.MULTILINE)
    assert len(rows) >= 18
    assert [guarantee for guarantee, test in rows if "::test_" not in test] == []
