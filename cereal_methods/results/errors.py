"""Errors in the result backend: as one line of text, and as exceptions that can be read again."""

from __future__ import annotations

from typing import Any, Final

#: The maximum length of an error's text, in characters.
_MAX_LENGTH: Final = 1000


def error_text(error: BaseException) -> str:
    """Return an error as one line of bounded length, even if its ``__str__`` raises."""
    name = type(error).__qualname__
    try:
        text = str(error)
        text = str.__str__(text)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        return f"{name}: its text cannot be made, __str__ raised {type(failure).__qualname__}"
    text = "".join(char if char.isprintable() else " " for char in text[: 2 * _MAX_LENGTH])
    text = " ".join(text.split())
    if len(text) > _MAX_LENGTH:
        text = f"{text[: _MAX_LENGTH - 3]}..."
    return f"{name}: {text}"


def encode_exception(error: BaseException, backend: Any) -> Any:
    """Return an exception in the form in which result backends store it with any serializer."""
    try:
        return backend.prepare_exception(error, serializer="json")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # the exception's arguments may be objects of any kind
        kind = type(error)
        return {
            "exc_type": kind.__qualname__,
            "exc_message": [message_of(error)],
            "exc_module": kind.__module__,
        }


def message_of(error: BaseException) -> str:
    """Return the text of an error without the name of its class."""
    return error_text(error).partition(": ")[2]
