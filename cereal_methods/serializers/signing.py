"""Signatures of message bodies: HMAC-SHA256 with a key derived from Django's."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

from django.conf import settings

from .. import conf

#: Bytes of a signature.
SIZE: Final = 32

_PURPOSE: Final = b"cereal_methods.serializers.pickle"


def sign(content: bytes) -> bytes:
    """Return the signature of ``content``, ``SIZE`` bytes, by the current key."""
    return hmac.digest(_derive(conf.get("SIGNING_KEY") or settings.SECRET_KEY), content, "sha256")


def verify(signature: bytes, content: bytes) -> bool:
    """Tell whether the current key or one of its fallbacks made the signature."""
    if hmac.compare_digest(signature, sign(content)):
        return True
    return any(
        hmac.compare_digest(signature, hmac.digest(_derive(key), content, "sha256"))
        for key in _fallbacks()
    )


def _fallbacks() -> list[str | bytes]:
    fallbacks = conf.get("SIGNING_KEY_FALLBACKS")
    return list(settings.SECRET_KEY_FALLBACKS if fallbacks is None else fallbacks)


@lru_cache(maxsize=16)
def _derive(secret: str | bytes) -> bytes:
    # A key of its own for each purpose, as in django.utils.crypto.salted_hmac.
    material = secret.encode() if isinstance(secret, str) else secret
    return hmac.digest(material, _PURPOSE, "sha256")
