"""How the service says no: a status, a body, and headers, in the words of the dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ..wire.endpoints import Dialect

__all__ = ["Refusal", "invalid", "like_models", "mistyped", "no_model"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Refusal(Exception):  # noqa: N818  (not a fault of this program: an answer)
    """An answer that is an error: a status and a body, as the service words it.

    Attributes:
        status: the HTTP status.
        body: the JSON body.
        code: what goes into ``x-ms-error-code``.
        headers: what else goes into the head.
    """

    def __init__(
        self, status: int, body: Any, *, code: str | None = None, headers: Mapping[str, str] = _NOTHING
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.code = code
        self.headers = headers


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
