"""Signatures of message bodies: HMAC-SHA256 with a key derived from Django's."""

from __future__ import annotations

import hmac
from functools import cache
from typing import Final

from django.conf import settings
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
    # No variable holds the keys: pages and mails of errors show those of all that is running.
    return [
        hmac.new(_derive(secret), prefix, "sha256")
        for secret in (conf.get("SIGNING_KEY") or settings.SECRET_KEY, *_fallbacks())
    ]


def _fallbacks() -> list[str | bytes]:
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    return list(settings.SECRET_KEY_FALLBACKS if fallbacks is None else fallbacks)


setting_changed.connect(lambda **kwargs: _signers.cache_clear(), weak=False)


def _derive(secret: str | bytes) -> bytes:
    # A key of its own for each purpose, as in django.utils.crypto.salted_hmac.
    material = secret.encode() if isinstance(secret, str) else secret
    return hmac.digest(material, _PURPOSE, "sha256")
