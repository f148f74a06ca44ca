"""Limits of the primary keys in a message.

Anybody who can write to the broker can choose the keys of a message. So each key is measured
before anything computes with it: ``int(Decimal("1e1000000"))``, which Django computes for an
integer field, takes twenty seconds.
"""

from __future__ import annotations

import decimal
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ..exceptions import InvalidMessage

#: The most decimal digits of an integer or a decimal, and the largest exponent.
MAX_DIGITS: Final = 1000
#: The most bits of an integer: those of ``MAX_DIGITS`` digits.
MAX_BITS: Final = 3322
#: The most characters of a text.
MAX_TEXT: Final = 10_000
#: The most parts of a composite key.
MAX_PARTS: Final = 64
#: Integer fields hold integers between this and its negative.
INTEGER_LIMIT: Final = 1 << 64

#: The most keys of a message that may have the same hash. Python does not randomize the hashes of
#: numbers and UUIDs, and n keys with the same hash cost n * n comparisons.
_MAX_SAME_HASH: Final = 64


def oversize(key: Any) -> str | None:
    """Return what makes a key too large to compute with, as ``a text of 20,000 characters``.

    Returns None for a key within the limits.
    """
    if isinstance(key, int):
        if key.bit_length() > MAX_BITS:
            return f"an integer of {key.bit_length():,} bits"
    elif isinstance(key, (str, bytes, bytearray)):
        if len(key) > MAX_TEXT:
            return f"a text of {len(key):,} characters"
    elif isinstance(key, decimal.Decimal):
        if not key.is_finite():
            return "not a number"
        exponent = int(key.as_tuple().exponent)
        if abs(key.adjusted()) > MAX_DIGITS or key.adjusted() - exponent > MAX_DIGITS:
            return f"a decimal of more than {MAX_DIGITS:,} digits"
    elif isinstance(key, (list, tuple)):
        if len(key) > MAX_PARTS:
            return f"a composite of {len(key):,} parts"
        return next(filter(None, map(oversize, key)), None)
    return None


def check_size(key: Any) -> None:
    """Raise ``InvalidMessage`` for a key of a message that exceeds a limit."""
    if (size := oversize(key)) is not None:
        raise InvalidMessage(f"The message holds a primary key that is too large: {size}.")


def check_hashes(keys: Sequence[Any]) -> None:
    """Raise ``InvalidMessage`` if more than 64 different keys have the same hash."""
    if len(keys) <= _MAX_SAME_HASH:
        return
    for value, count in Counter(map(hash, keys)).items():
        if count > _MAX_SAME_HASH:
            # Rows of several models may have equal keys, and a message may name a row twice.
            texts = {str(key) for key in keys if hash(key) == value}
            if len(texts) > _MAX_SAME_HASH:
                raise InvalidMessage(
                    "The message holds too many primary keys with the same hash, which a dict "
                    "takes long to compare."
                )
