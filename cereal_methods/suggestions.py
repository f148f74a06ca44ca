"""Suggestions for misspelt names: ``Did you mean 'queue'?``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate that is most similar to a name, or None if none is similar.

    Upper and lower case count as the same. ``cutoff`` is that of
    ``difflib.get_close_matches``: from 0, where everything is similar, to 1.
    """
    spellings = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(str(name).lower(), spellings, n=1, cutoff=cutoff)
    return spellings[found[0]] if found else None


def did_you_mean(
    name: object, candidates: Iterable[str], otherwise: str = "", cutoff: float = 0.6
) -> str:
    """Return a question about the nearest candidate, or ``otherwise`` if none is similar."""
    near = nearest(name, candidates, cutoff)
    return otherwise if near is None else f"Did you mean {near!r}?"
