"""All examples of the pages in docs/ run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..examples import Block, blocks, project, run_examples
from .pages import DOCS

#: Pages that tests of their own run: the tutorial with a real worker, others with what they need.
ELSEWHERE = {DOCS / f"{name}.md" for name in ("admin", "django-tasks", "testing", "tutorial")}

PAGES = {
    str(page.relative_to(DOCS)): examples
    for page in sorted(DOCS.rglob("*.md"))
    if page not in ELSEWHERE and (examples := blocks(page))
}


@pytest.mark.parametrize("page", PAGES)
def test_every_example_runs(page: str, tmp_path: Path) -> None:
    shows_order = any("class Order(" in block.source for block in PAGES[page])
    start = project("tutorial", "models" if shows_order else "order")

    failed = run_examples(page, PAGES[page], tmp_path, start)

    assert not failed, "\n".join(failed)


def test_a_wrong_example_is_reported(tmp_path: Path) -> None:
    wrong = [
        Block(3, "python", None, "order.ship()"),
        Block(7, "pycon", None, ">>> order.ship(\"dhl\")\n'by air'\n"),
        Block(9, "python", None, "x = 1"),
    ]

    failed = run_examples("page.md", wrong, tmp_path, project("tutorial", "order"))

    assert failed[0].startswith("line 4: TypeError: ")
    assert "Expected:\n    'by air'\nGot:\n    'order 1 went out with dhl'" in failed[1]
    assert len(failed) == 2
