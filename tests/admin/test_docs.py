"""The examples of docs/admin.md run, in a project that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.interpreters import ROOT, run_program


def test_every_example_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/admin.md").read_text()
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["shop/models.py", "shop/admin.py", "config/settings.py"]
    assert len(blocks) == text.count("```python")
    files = [
        ("config/__init__.py", ""),
        ("config/settings.py", "from tests.admin.page_settings import *\n"),
        ("shop/__init__.py", ""),
    ]
    for name, source in (*files, *blocks):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(source)

    printed = run_program("admin_page", directory=tmp_path, settings="config.settings")

    assert printed.splitlines()[-2:] == ["True True True True", "['change']"]


def test_what_the_page_shows_is_there() -> None:
    text = (ROOT / "docs/admin.md").read_text()
    images = re.findall(r"\]\((images/[^)]+)\)", text)

    assert images
    assert [path for path in images if not (ROOT / "docs" / path).is_file()] == []
