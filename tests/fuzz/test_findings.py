"""Bodies that once did what none may do, kept as they were found."""

from __future__ import annotations

from pathlib import Path

import pytest

from .outcomes import judge, judge_result, watched
from .strategies import measured

FINDINGS = Path(__file__).parent / "findings"
FILES = sorted(path.relative_to(FINDINGS) for path in FINDINGS.glob("*/*"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_finding_ends_in_its_value_or_in_an_error_of_decoding(path: Path) -> None:
    data, name = (FINDINGS / path).read_bytes(), path.parts[0]

    with watched() as watch:
        for body in (data, measured(data, name)):
            judge(body, name, watch)
            judge_result(body, name, watch)


def test_findings_are_kept() -> None:
    assert FILES
