"""How the service says no: a status, a body, and headers, in the words of the dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ..wire.endpoints import Dialect

__all__ = ["Refusal", "invalid", "like_models", "mistyped", "no_model", "over_limit", "passed_on"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Refusal(Exception):  # noqa: N818  (not a fault of this program: an answer)
    """An answer that is an error: a status and a body, as the service words it.

    Attributes:
        status: the HTTP status.
        body: the JSON body.
        code: what goes into ``x-ms-error-code``.
        headers: what else goes into the head.
        note: whose doing it is, for the log.
    """

    def __init__(
        self,
        status: int,
        body: Any,
        *,
        code: str | None = None,
        headers: Mapping[str, str] = _NOTHING,
        note: str = "",
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.code = code
        self.headers = headers
        self.note = note


def like_models(dialect: Dialect) -> bool:
    """Whether a dialect has the manners of `/models`: ``extra-parameters``, 422 with a place, usage unasked."""
    return dialect in ("models", "serverless", "managed")


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """400: the request is none."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(400, {"error": error})


def mistyped(dialect: Dialect, name: str, expected: str, value: Any) -> Refusal:
    """A value of the wrong kind: 422 with its place on `/models` and its like, 400 with its name elsewhere."""
    if like_models(dialect):
        detail = {"loc": ["body", name], "input": value, "msg": f"Input should be {expected}"}
        text = "One of the parameters contain invalid values."
        return Refusal(422, {"status": 422, "code": "Invalid input", "detail": detail, "message": text})
    return invalid(f"Invalid type or value for '{name}': expected {expected}.", param=name)


def no_model(dialect: Dialect, name: str) -> Refusal:
    """404: nothing is deployed under this name."""
    error: Mapping[str, str | None]
    if like_models(dialect):
        code, error = "unknown_model", {"message": f"Unknown model: {name}", "details": f"Unknown model: {name}"}
    elif dialect == "generic":
        text = f"The model `{name}` does not exist or you do not have access to it."
        code, error = "model_not_found", {"message": text, "type": "invalid_request_error", "param": None}
    else:
        text = "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
        code, error = "DeploymentNotFound", {"message": f"{text}minutes, please wait a moment and try again."}
    return Refusal(404, {"error": {"code": code, **error}}, code=None if dialect == "generic" else code)


def over_limit(dialect: Dialect, kind: str, model: str, headers: Mapping[str, str]) -> Refusal:
    """429: the requests or the tokens of the minute are used up; the headers say when to come again."""
    seconds = headers["retry-after"]
    if dialect == "generic":
        text = f"Rate limit reached for {model} on {kind} per min. Please try again in {seconds}s."
        error = {"message": text, "type": kind, "param": None, "code": "rate_limit_exceeded"}
        return Refusal(429, {"error": error}, headers=headers)
    what = "token rate limit" if kind == "tokens" else "call rate limit"
    text = f"Your requests to {model} have exceeded {what} of your current pricing tier. Please retry after {seconds} "
    error = {"message": f"{text}second{'' if seconds == '1' else 's'}."}
    code = "RateLimitReached" if like_models(dialect) else "429"
    return Refusal(429, {"error": {"code": code, **error}}, code=code, headers=headers)


def passed_on(
    dialect: Dialect, status: int, error: Mapping[str, Any], *, headers: Mapping[str, str] = _NOTHING, note: str
) -> Refusal:
    """What an upstream refuses, or that it fails: its status, and its words where the dialect has them.

    Args:
        dialect: how the endpoint speaks.
        status: the status of the answer.
        error: at least a ``message``; fields beside it are kept.
        headers: what the upstream says of limits.
        note: see `Refusal`.
    """
    if dialect == "generic":
        body = {"error": {"type": None, "param": None, "code": None, **error}}
        return Refusal(status, body, headers=headers, note=note)
    code = str(error.get("code") or status)
    return Refusal(status, {"error": {**error, "code": code}}, code=code, headers=headers, note=note)
