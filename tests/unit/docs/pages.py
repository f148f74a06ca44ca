"""Where the pages are."""

from __future__ import annotations

from pathlib import Path

import cereal_methods

from ..interpreters import ROOT

DOCS = ROOT / "docs"

PACKAGE = Path(cereal_methods.__file__).parent
