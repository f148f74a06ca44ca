"""Signatures of message bodies: HMAC-SHA256 with a key derived from Django's."""

from __future__ import annotations

import hmac
from functools import cache
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .. import conf

#: Bytes of a signature.
SIZE: Final = 32

_PURPOSE: Final = b"cereal_methods.serializers.pickle"


def sign(prefix: bytes, content: bytes) -> bytes:
    """Return the signature of ``prefix`` and ``content``, ``SIZE`` bytes, by the current key."""
    return _digest(_signers(prefix)[0], content)


def verify(signature: bytes, prefix: bytes, content: bytes) -> bool:
    """Tell whether the current key or one of its fallbacks made the signature."""
    for signer in _signers(prefix):
        if hmac.compare_digest(signature, _digest(signer, content)):
            return True
    return False


def _digest(signer: hmac.HMAC, content: bytes) -> bytes:
    # Half the time of hmac.digest, which looks its algorithm up and takes in the key each time.
    copy = signer.copy()
    copy.update(content)
    return copy.digest()


@cache
def _signers(prefix: bytes) -> list[hmac.HMAC]:
    """Return what signs with the current key and its fallbacks, the prefix taken in."""
    check_keys()
    # No variable holds the keys: pages and mails of errors show those of all that is running.
    return [
        hmac.new(_derive(secret), prefix, "sha256")
        for secret in (conf.get("SIGNING_KEY") or settings.SECRET_KEY, *_fallbacks())
    ]


def _fallbacks() -> list[str | bytes]:
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    return list(settings.SECRET_KEY_FALLBACKS if fallbacks is None else fallbacks)


def check_keys() -> None:
    """Raise ``ImproperlyConfigured`` for a key that everybody knows: one that is empty."""
    found = weak_keys()
    if found:
        raise ImproperlyConfigured(f"{found} {REMEDY}")


#: What is to be done about an empty key.
REMEDY: Final = (
    "Whoever can write to the broker can sign with it, and run any code in the workers. Take it "
    "out of the settings, or give it the value that it should have."
)


def weak_keys() -> str:
    """Return what is wrong with the keys that sign and verify, without the keys; or no text."""
    found = []
    if not conf.get("SIGNING_KEY") and not is_key(settings.SECRET_KEY):
        found.append("SECRET_KEY")
    if not _has_own_fallbacks():
        # Each character of a text would be a key.
        is_list = isinstance(settings.SECRET_KEY_FALLBACKS, (list, tuple))
        if not is_list or not all(map(is_key, settings.SECRET_KEY_FALLBACKS)):
            found.append("SECRET_KEY_FALLBACKS")
    if not found:
        return ""
    return f"{' and '.join(found)}: a key is empty, or is neither text nor bytes."


def _has_own_fallbacks() -> bool:
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    return fallbacks is not None


def is_key(value: object) -> bool:
    """Whether a value is a text or bytes, and not empty."""
    return isinstance(value, (str, bytes)) and bool(value.strip())


setting_changed.connect(lambda **kwargs: _signers.cache_clear(), weak=False)


def _derive(secret: str | bytes) -> bytes:
    # A key of its own for each purpose, as in django.utils.crypto.salted_hmac.
    return hmac.digest(as_bytes(secret), _PURPOSE, "sha256")


def as_bytes(secret: str | bytes) -> bytes:
    """Return the bytes of a key. Never fails, as pages of errors would show the key.

    Texts from the environment hold what is not UTF-8 there as lone surrogates.
    """
    return secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
