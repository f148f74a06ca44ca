"""The examples of the pages in docs/, which all run."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from ..examples import IMPORTS, ORDER, PROJECT, Block, blocks, run_examples
from .pages import DOCS

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


def test_a_wrong_example_is_reported(tmp_path: Path) -> None:
    wrong = [
        Block(3, "python", None, "order.ship()"),
        Block(7, "pycon", None, ">>> order.ship(\"dhl\")\n'by air'\n"),
        Block(9, "python", None, "x = 1"),
    ]

    failed = run_examples("page.md", wrong, tmp_path, project())

    assert failed[0].startswith("line 4: TypeError: ")
    assert "Expected:\n    'by air'\nGot:\n    'order 1 went out with dhl'" in failed[1]
    assert len(failed) == 2
