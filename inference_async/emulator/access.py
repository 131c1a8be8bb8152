"""Who may ask: keys, Entra ID tokens, and api-versions, dialect by dialect."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from ..wire.endpoints import DEFAULT_API_VERSION, Dialect
from .refusals import Refusal

__all__ = ["FRONT_KEY_HEADER", "Access", "Tokens", "check_access", "check_api_version"]

FRONT_KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
"""The header of an API Management front's own key."""

Tokens: TypeAlias = Callable[[str], bool] | Collection[str]
"""The Entra ID tokens that are let in: these, or those of which it says so."""

_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")
_AUDIENCES: Final[Mapping[Dialect, str]] = {
    "openai-v1": "https://ai.azure.com",
    "managed": "https://ml.azure.com",
}
_AUDIENCE: Final = "https://cognitiveservices.azure.com"
_AUTHORITY: Final = "https://login.microsoftonline.com/common/oauth2/authorize"
_WRONG_KEY: Final = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)


class Access(NamedTuple):
    """What opens the door; where neither a key nor tokens are asked for, it is open.

    Attributes:
        key: the key of the endpoint.
        tokens: see `Tokens`; None knows of none.
        challenges: token -> the claims that it lacks, as JSON; such a token is answered with a claims challenge.
    """

    key: str | None = None
    tokens: Tokens | None = None
    challenges: Mapping[str, str] = {}


def check_access(dialect: Dialect, headers: Mapping[str, str], access: Access, *, front: bool = False) -> None:
    """401, as the endpoint words it, unless the key or a token comes in the header where the dialect looks for it.

    Args:
        dialect: how the endpoint speaks.
        headers: those of the request; names in any case.
        access: what opens.
        front: an API Management front stands before it and asks for its own key.

    Raises:
        Refusal: see above.
    """
    bearer = _bearer(headers)
    if bearer is not None and bearer in access.challenges:
        raise _challenge(dialect, access.challenges[bearer])
    if access.key is None and access.tokens is None:
        return
    if access.key is not None and access.key in _keys(dialect, headers, bearer, front=front):
        return
    if bearer is not None and access.tokens is not None and _is_known(bearer, access.tokens):
        return
    raise _denied(dialect, headers, has_tokens=access.tokens is not None and bearer is not None, front=front)


def check_api_version(dialect: Dialect, version: str | None) -> None:
    """`/models` and deployments need a version, `/openai/v1` takes none, ``v1`` or ``preview``, others do not mind.

    Raises:
        Refusal: 400 otherwise.
    """
    if version is None and dialect in ("models", "deployment"):
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal(400, {"error": {"code": "MissingApiVersionParameter", "message": text}})
    if version is None or dialect == "generic":
        return
    if dialect == "openai-v1":
        known = version in ("v1", "preview")
    elif dialect == "deployment":
        known = _DATED.fullmatch(version) is not None
    else:
        known = version == DEFAULT_API_VERSION
    if not known:
        raise Refusal(400, {"error": {"code": "BadRequest", "message": "API version not supported"}})


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def _keys(dialect: Dialect, headers: Mapping[str, str], bearer: str | None, *, front: bool) -> list[str | None]:
    """What the request shows as a key, where this dialect looks for one."""
    if front:
        return [headers.get(FRONT_KEY_HEADER)]
    if dialect == "deployment":
        return [headers.get("api-key")]
    if dialect in ("models", "openai-v1"):
        return [headers.get("api-key"), bearer]
    return [bearer]


def _is_known(token: str, tokens: Tokens) -> bool:
    return tokens(token) if callable(tokens) else token in tokens


def _denied(dialect: Dialect, headers: Mapping[str, str], *, has_tokens: bool, front: bool) -> Refusal:
    if front:
        said = "missing" if FRONT_KEY_HEADER not in headers else "invalid"
        text = f"Access denied due to {said} subscription key. Make sure to include a valid key in the request."
        asked = f'AzureApiManagementKey realm="emulator",name="{FRONT_KEY_HEADER}",type="header"'
        return Refusal(401, {"statusCode": 401, "message": text}, headers={"WWW-Authenticate": asked})
    if has_tokens and dialect not in ("serverless", "generic"):
        return Refusal(401, _wrong_audience(dialect))
    if dialect == "serverless":
        missing = "Authorization" not in headers
        text = "Auth token must be passed as a header called Authorization" if missing else "Invalid auth token"
        return Refusal(401, {"status": text})
    if dialect == "generic":
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": None}
        return Refusal(401, {"error": {**error, "code": "invalid_api_key"}})
    if dialect == "openai-v1" or (dialect != "managed" and "api-key" in headers):
        return Refusal(401, {"error": {"code": "401", "message": _WRONG_KEY}})
    return Refusal(401, _wrong_audience(dialect))


def _wrong_audience(dialect: Dialect) -> dict[str, Any]:
    audience = _AUDIENCES.get(dialect, _AUDIENCE)
    text = f"Unauthorized. Access token is missing, invalid, audience is incorrect ({audience}), or have expired."
    return {"statusCode": 401, "message": text}


def _challenge(dialect: Dialect, claims: str) -> Refusal:
    encoded = base64.b64encode(claims.encode()).decode()
    words = f'Bearer realm="", authorization_uri="{_AUTHORITY}", error="insufficient_claims", claims="{encoded}"'
    return Refusal(401, _wrong_audience(dialect), headers={"WWW-Authenticate": words})
