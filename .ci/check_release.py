"""Check that a release's tag, version and changelog agree, and print the release's notes.

``python .ci/check_release.py v0.2.0`` exits with 1, and says what to do, unless
``cereal_methods.__version__`` is 0.2.0 and the changelog has a dated section for it. It
reads files only, so that it runs where nothing is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, package: str, changelog: str) -> str:
    """Return the changelog's section about the release that a tag names.

    ``package`` is the text of ``cereal_methods/__init__.py``. Raises ``SystemExit`` with
    the reason if the three do not agree.
    """
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        sys.exit(f"{tag!r} is not the tag of a release. Name it as in v0.2.0 or v0.2.0rc1.")
    version = tag[1:]
    found = re.search(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    if not found or found[1] != version:
        sys.exit(
            f"The tag {tag} does not match cereal_methods.__version__, which is "
            f"{found[1] if found else 'missing'}. Change the version, commit, and tag that commit."
        )
    heading = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)"
    section = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if not section or not section[1].strip():
        sys.exit(
            f"CHANGELOG.md has no dated section for {version}, or an empty one. Write its heading "
            f'as "## {version} (2027-01-31)", commit, and tag that commit.'
        )
    return section[1].strip()


if __name__ == "__main__":
    print(
        notes(
            sys.argv[1],
            (ROOT / "cereal_methods" / "__init__.py").read_text(),
            (ROOT / "CHANGELOG.md").read_text(),
        )
    )
