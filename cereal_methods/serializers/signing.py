"""Signatures of message bodies: HMAC-SHA256 with a key derived from Django's.

A ``cereal-pickle`` body has its signature before the header line. The bodies of the other formats
have it at the end of the header line, if they are signed at all.
"""

from __future__ import annotations

import hmac
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .. import conf
from ..django_api.databases import setting_changed
from ..exceptions import SignatureMismatch

#: Bytes of a signature.
SIZE: Final = 32

_PURPOSE: Final = b"cereal_methods.serializers.pickle"

#: The end of a header line with a signature: this, its hexadecimal digits, and a quote and a brace.
_FIELD: Final[Any] = ',"signature":"'
_FIELD_BYTES: Final[Any] = _FIELD.encode()
_LENGTH: Final = len(_FIELD) + 2 * SIZE + 2


def sign(prefix: bytes, content: bytes) -> bytes:
    """Return the signature of ``prefix`` and ``content`` by the current key: ``SIZE`` bytes.

    Raises ``ImproperlyConfigured`` if a key is empty.
    """
    return _digest(_signers(prefix)[0], content)


def verify(signature: bytes, prefix: bytes, content: bytes) -> bool:
    """Whether the current key or one of its fallbacks made the signature, in constant time each.

    Raises ``ImproperlyConfigured`` if a key is empty.
    """
    for signer in _signers(prefix):
        if hmac.compare_digest(signature, _digest(signer, content)):
            return True
    return False


def with_signature(name: str, line: str, content: bytes) -> str:
    """Return a header line of the format ``name`` with the signature of it and of the content."""
    signature = sign(f"{name}:".encode(), b"\n".join((line.encode(), content)))
    return f'{line[:-1]}{_FIELD}{signature.hex()}"}}'


def has_signature(line: Any) -> bool:
    """Whether a header line, as text or bytes, ends with a signature, which may be wrong."""
    end = line[-_LENGTH:]
    # The consumer asks this of bytes, and who verifies it of text: ASCII is as long in both.
    return end.isascii() and bool(end.startswith(_FIELD if isinstance(line, str) else _FIELD_BYTES))


def without_signature(line: str) -> str:
    """Return a header line that has a signature without it."""
    return f"{line[:-_LENGTH]}}}"


def is_signed_by_us(name: str, line: str, content: bytes) -> bool:
    """Whether the signature in a header line is that of the line and the content.

    Raises ``ImproperlyConfigured`` if a key is empty.
    """
    try:
        signature = bytes.fromhex(line[len(_FIELD) - _LENGTH : -2])
    except ValueError:
        return False
    signed = b"\n".join((as_bytes(without_signature(line)), content))
    return verify(signature, f"{name}:".encode(), signed)


def signature_mismatch(name: str) -> SignatureMismatch:
    """Return the error for a body of the serializer ``name`` with a wrong signature."""
    return SignatureMismatch(
        f"The signature of a {name} message does not match, so the message was not "
        "read. It was changed on its way, sent by someone without the key, or signed "
        "with a key that is neither SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor one "
        "of its fallbacks here. Compare the keys of sender and worker, and check who can "
        "write to the broker."
    )


def _digest(signer: hmac.HMAC, content: bytes) -> bytes:
    # hmac.digest takes twice as long: it looks up the algorithm and hashes the key each time.
    copy = signer.copy()
    copy.update(content)
    return copy.digest()


@cache
def _signers(prefix: bytes) -> list[hmac.HMAC]:
    """Return an HMAC over the prefix for the current key and for each of its fallbacks."""
    check_keys()
    # Keep signing keys out of local variables so that error pages cannot show them.
    return [
        hmac.new(_derive(secret), prefix, "sha256")
        for secret in (conf.get("SIGNING_KEY") or settings.SECRET_KEY, *_fallbacks())
    ]


def _fallbacks() -> list[str | bytes]:
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    return list(settings.SECRET_KEY_FALLBACKS if fallbacks is None else fallbacks)


def check_keys() -> None:
    """Raise ``ImproperlyConfigured`` if a key is empty, and so known to everybody."""
    problem = weak_keys()
    if problem:
        raise ImproperlyConfigured(f"{problem} {REMEDY}")


#: What to do about an empty key.
REMEDY: Final = (
    "Anyone who can write to the broker can sign with it, and run any code in the workers. Remove "
    "it from the settings, or give it its value."
)


def weak_keys() -> str:
    """Return what is wrong with the keys of Django's settings, without the keys, or ``""``.

    ``conf`` validates the keys in ``CEREAL_METHODS``.
    """
    names = []
    if not conf.get("SIGNING_KEY") and not is_key(settings.SECRET_KEY):
        names.append("SECRET_KEY")
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    if fallbacks is None:
        # Each character of a string would be a key.
        is_list = isinstance(settings.SECRET_KEY_FALLBACKS, (list, tuple))
        if not is_list or not all(map(is_key, settings.SECRET_KEY_FALLBACKS)):
            names.append("SECRET_KEY_FALLBACKS")
    if not names:
        return ""
    return f"{' and '.join(names)}: a key is empty, or is neither a string nor bytes."


def is_key(value: object) -> bool:
    """Whether a value is a string or bytes, and neither empty nor blank."""
    return isinstance(value, (str, bytes)) and bool(value.strip())


setting_changed.connect(lambda **kwargs: _signers.cache_clear(), weak=False)


def _derive(secret: str | bytes) -> bytes:
    # Derived, so that a signature made for another purpose is not valid here: see Django's
    # django.utils.crypto.salted_hmac.
    return hmac.digest(as_bytes(secret), _PURPOSE, "sha256")


def as_bytes(text: str | bytes) -> bytes:
    """Return the bytes of a key or a header line. Never fails: error pages would show the key.

    Strings from the environment contain lone surrogates for bytes that are not UTF-8.
    """
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
