"""The errors of the library.

Every message says what happened, to which object, and what to do about it.
What the error is about is also at hand as attributes, for code. Messages name
models, keys, databases and types, never field values: errors end up in logs.

A row that is gone raises its model's own ``DoesNotExist``, as Django does.
"""

from __future__ import annotations

from typing import Any

from django.db import OperationalError
from kombu.exceptions import EncodeError, SerializerNotInstalled


class CerealError(Exception):
    """Root of the library's errors; ``about`` is the thing that it concerns."""

    def __init__(self, message: str | Exception = "", about: Any = None) -> None:
        super().__init__(message)
        self.about = about


class UnsavedInstance(CerealError, ValueError):
    """A model instance without a row was passed to a task; ``about`` is its label."""


class UnsupportedKey(CerealError, TypeError):
    """A primary key has a type that references cannot carry; ``about`` is the key's type."""


class UnsupportedValue(CerealError, TypeError):
    """A serializer cannot carry a value; ``about`` is the value's type, if known."""


class UnknownModel(CerealError, LookupError):
    """A reference names a model that this process does not have; ``about`` is its label."""


class UnknownDatabase(CerealError, LookupError):
    """A reference names a database that is not in ``DATABASES``; ``about`` is the alias."""


class InvalidMessage(CerealError, ValueError):
    """A message body is truncated, changed or no cereal message at all."""


class SignatureMismatch(InvalidMessage):
    """The signature of a ``cereal-pickle`` body does not match: nothing of it was unpickled."""


class UnknownVersion(InvalidMessage):
    """A message was written by a newer format; ``about`` is the version that it names."""


# While a message is encoded, kombu lets a SerializerNotInstalled through and replaces any other
# error by an EncodeError that has no cause.
class SerializerNotAccepted(CerealError, SerializerNotInstalled):
    """``accept_content`` lacks the serializer of a message; ``about`` is its name."""


class EncodingFailed(CerealError, EncodeError, SerializerNotInstalled):
    """A serializer refused a message or a result; ``__cause__`` is the error that says why."""


class ConnectionLost(CerealError, OperationalError):
    """A connection died inside a transaction, as rows were fetched; ``about`` is the alias."""


class BulkInterrupted(CerealError):
    """A bulk was sent for some of its rows; ``result`` and ``about`` are those rows' result."""

    @property
    def result(self) -> Any:
        """The ``BulkResult`` of the rows that were sent."""
        return self.about


class ResultsNotKept(CerealError):
    """Nothing keeps the results that are asked for; ``about`` is the id."""


class ResultsExpired(ResultsNotKept):
    """The result backend has removed results that are asked for; ``about`` is the bulk's id."""


class InvalidModelTask(CerealError, TypeError):
    """``@model_task`` stands on something that cannot be sent; ``about`` is its name."""


class FunctionAborted(CerealError, RuntimeError):
    """A task's function raised what is no ``Exception``; ``about`` is the task's name."""


class RecordingError(CerealError):
    """A recording of tasks cannot do what a test asks of it; ``about`` is what it is about."""
