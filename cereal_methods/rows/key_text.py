"""Primary keys, labels and aliases in errors, logs and reprs: short, and on one line."""

from __future__ import annotations

from typing import Any, Final

from .limits import MAX_BITS, MAX_PARTS, oversize

#: The most characters of a key's text; a composite key has up to four times as many.
_MAX_LENGTH: Final = 100


def key_text(value: Any) -> str:
    """Return the text of a key, a label or an alias, which may have come in a message."""
    kind = type(value)
    if kind is int:
        return str(value) if value.bit_length() <= MAX_BITS else f"<{oversize(value)}>"
    if kind is tuple:
        parts = ", ".join(
            repr(key_text(part)) if type(part) is str else key_text(part)
            for part in value[:MAX_PARTS]
        )
        return f"({_shortened(parts)})"
    text = value if kind is str else str(value)
    if len(text) <= _MAX_LENGTH and text.isprintable():
        return text
    # repr escapes what is not printable, such as the end of a line.
    return _shortened(repr(text[:_MAX_LENGTH])[1:-1]) + ("" if len(text) <= _MAX_LENGTH else "...")


def _shortened(text: str) -> str:
    return text if len(text) <= 4 * _MAX_LENGTH else f"{text[: 4 * _MAX_LENGTH]}..."


def describe_type(value: Any) -> str:
    """Return what kind of value a message has in the wrong place, without quoting it."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if type(value) is int:
        return key_text(value)
    if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"a {type(value).__name__}"
