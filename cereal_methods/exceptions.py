"""The errors of the library.

Every message says what happened, to which object, and what to do. Code finds the object in
attributes. Messages name models, keys, databases and types, never field values, because errors
end up in logs.

A row that is gone raises its model's ``DoesNotExist``, as in Django.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError
from kombu.exceptions import EncodeError, SerializerNotInstalled


class CerealError(Exception):
    """Base class of the library's errors. ``about`` is the object of the error."""

    def __init__(self, message: str | Exception = "", about: Any = None) -> None:
        super().__init__(message)
        self.about = about


class UnsavedInstance(CerealError, ValueError):
    """A model instance that was not saved was passed to a task. ``about`` is the model's label."""


class UnsupportedKey(CerealError, TypeError):
    """References cannot carry a primary key. ``about`` is the key's type."""


class UnsupportedValue(CerealError, TypeError):
    """A serializer cannot carry a value. ``about`` is the value's type, or None."""


class UnknownModel(CerealError, LookupError):
    """A reference names a model that this process does not have. ``about`` is the label."""


class UnknownDatabase(CerealError, LookupError):
    """A reference names a database that is not in ``DATABASES``. ``about`` is the alias."""


class InvalidMessage(CerealError, ValueError):
    """A message body is truncated, was changed, or is not one of this library's."""


class SignatureMismatch(InvalidMessage):
    """The signature of a message does not match its body or its headers. The body was not read."""


class UnknownVersion(InvalidMessage):
    """A newer release has written a message. ``about`` is the version of its format."""


# Both are a SerializerNotInstalled, because kombu replaces any other error of an encoder by an
# EncodeError without a cause.
class SerializerNotAccepted(CerealError, SerializerNotInstalled):
    """``accept_content`` lacks the serializer of a message. ``about`` is the serializer's name."""


class EncodingFailed(CerealError, EncodeError, SerializerNotInstalled):
    """A serializer cannot encode a message or a result. ``__cause__`` is the reason."""


class ConnectionLost(CerealError, OperationalError):
    """A connection died inside a transaction while rows were fetched. ``about`` is the alias."""


class BulkInterrupted(CerealError):
    """A bulk was sent for some of its rows only. ``about`` is their ``BulkResult``."""

    @property
    def result(self) -> Any:
        """The ``BulkResult`` of the rows that were sent."""
        return self.about


class ResultsNotKept(CerealError):
    """The requested results were not stored. ``about`` is the id of the task or the bulk."""


class ResultsExpired(ResultsNotKept):
    """The result backend has removed the requested results. ``about`` is the bulk's id."""


class InvalidModelTask(CerealError, TypeError):
    """A method task is defined or used so that it cannot be sent. ``about`` is its name."""


class FunctionAborted(CerealError, RuntimeError):
    """A task's function raised something else than an ``Exception``, such as ``GeneratorExit``.

    ``about`` is the task's name, ``__cause__`` what was raised.
    """


class RecordingError(CerealError):
    """The recording was misused. ``about`` is the offending object."""


class RowLocked(CerealError):
    """Another transaction has locked a row, and the task does not wait for the lock.

    ``about`` is the model's label, ``keys`` are the primary keys of the rows, and ``using`` is the
    alias of their database. An error that was read from a result backend has only its message.
    """

    keys: Sequence[Any]
    using: str
