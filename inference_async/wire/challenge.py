"""The challenge of a 401: what the service asks a new token to say (continuous access evaluation).

``WWW-Authenticate`` is a list of challenges whose parameters are lists too, joined by the same comma (RFC 9110,
11.6.1), so it is read from left to right, item by item. A header that cannot be read to its end holds no challenge.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from typing import Final

from ..types.base import is_object
from .codec import DecodeFailure, decode_json

__all__ = ["claims_in"]

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105  (RFC 9110's word for a word)
_GAP: Final = re.compile(r"[\s,]*")
_PARAMETER: Final = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*))(?=[\s,]|$)')
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)")
_SCHEME: Final = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|$))")
_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+")


def claims_in(header: str) -> str | None:
    """The claims that a ``WWW-Authenticate`` header asks a new token for, as JSON text; None if it asks for none."""
    for scheme, parameters in _challenges(header):
        if scheme == "bearer" and parameters.get("error") == "insufficient_claims":
            claims = _decoded(parameters.get("claims", ""))
            if claims is not None:
                return claims
    return None


def _challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """Scheme and parameters of each challenge, names in lower case; nothing if the header cannot be read."""
    found: list[tuple[str, dict[str, str]]] = []
    after_scheme = False  # where token68 may stand
    position = _end_of_gap(header, 0)
    while position < len(header):
        if match := _PARAMETER.match(header, position):
            if not found:
                return []
            name, quoted, plain = match.groups()
            found[-1][1].setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
            after_scheme = False
        elif after_scheme and (match := _TOKEN68.match(header, position)):
            after_scheme = False
        elif match := _SCHEME.match(header, position):
            found.append((match[1].lower(), {}))
            after_scheme = header[match.end() : match.end() + 1] not in ("", ",")
        else:
            return []
        position = _end_of_gap(header, match.end())
    return found


def _end_of_gap(header: str, position: int) -> int:
    match = _GAP.match(header, position)
    return match.end() if match else position


def _decoded(encoded: str) -> str | None:
    """The JSON object in base64 of either alphabet, padded or not; None for anything else."""
    encoded = encoded.rstrip("=").translate({ord("+"): "-", ord("/"): "_"})
    if not _BASE64.fullmatch(encoded):
        return None
    try:
        claims = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return claims.decode() if is_object(decode_json(claims)) else None
    except (*DecodeFailure, binascii.Error):
        return None
