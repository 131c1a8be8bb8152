"""This package's errors in the terms of azure-core, which is what programs written for the retired SDK catch.

The class is the one that such a program gets for the same trouble, and the cause is this package's own error. What
mends a program, a `ConfigurationError` or a `WrongEventLoopError`, stays as it is: one is a `ValueError`, the other a
`RuntimeError`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from http.client import responses
from typing import Any, Final, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ODataV4Format,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.utils import case_insensitive_dict

from ...errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    CredentialError,
    IncompleteStreamError,
    InferenceError,
    InvalidResponseError,
    StreamError,
)

__all__ = ["Answer", "azure_error", "in_azure_terms"]

T = TypeVar("T")
_BY_STATUS: Final[dict[int, type[HttpResponseError]]] = {
    401: ClientAuthenticationError,
    404: ResourceNotFoundError,
    409: ResourceExistsError,
}


class Answer:
    """What an error shows of the answer that it is about, by the names of `azure.core.rest.AsyncHttpResponse`.

    Attributes:
        status_code: the HTTP status.
        reason: what the standard calls that status.
        headers: by name, in whatever case.
        content_type: None where the answer had none.
        content: the body, cut at 64 KiB.
    """

    def __init__(self, error: APIStatusError) -> None:
        self.status_code = error.status
        self.reason = responses.get(error.status, "")
        self.headers = case_insensitive_dict(error.headers)
        self.content_type: str | None = self.headers.get("content-type")
        self.content = error.body.encode()

    def text(self, encoding: str | None = None) -> str:
        """The body; the encoding is known already."""
        return self.content.decode()

    def json(self) -> Any:
        """The body as plain objects; a `ValueError` if it is no JSON."""
        return json.loads(self.content)


async def in_azure_terms(answer: Awaitable[T]) -> T:
    """What an awaitable gives; what goes wrong is raised as azure-core has it."""
    try:
        return await answer
    except InferenceError as error:
        failed = error.with_traceback(None)
    # Not in the block above: azure-core's errors keep the traceback of the one that is being handled, and with it
    # frames, and could not be pickled.
    raise azure_error(failed)


def azure_error(error: InferenceError) -> Exception:
    """The error to raise in place of one of this package's; that one is its cause."""
    if isinstance(error, CredentialError) and isinstance(error.__cause__, Exception):
        return error.__cause__  # the credential's own, as its owner expects it
    raised = _translated(error)
    if raised is not error:
        raised.__cause__ = error
    return raised


def _translated(error: InferenceError) -> Exception:
    if isinstance(error, APIStatusError):
        answer: Any = Answer(error)
        return _BY_STATUS.get(error.status, HttpResponseError)(response=answer)
    if isinstance(error, CredentialError):
        return ClientAuthenticationError(error.message)
    if isinstance(error, APIConnectionError):
        return _of_connection(error)(error.message, error=error)
    if isinstance(error, IncompleteStreamError):
        return IncompleteReadError(error.message, error=error)
    if isinstance(error, InvalidResponseError):
        return _told(DecodeError(error.message, error=error), error.status)
    if isinstance(error, StreamError):
        raised = _told(HttpResponseError(error.message, error=error), error.status)
        raised.error = ODataV4Format({"code": error.code, "message": error.message})
        return raised
    if isinstance(error, ClientClosedError):
        return ValueError(error.message)
    return error


def _of_connection(error: APIConnectionError) -> type[AzureError]:
    if isinstance(error, APITimeoutError):
        return ServiceRequestTimeoutError if error.phase in ("pool", "connect") else ServiceResponseTimeoutError
    if error.phase == "body":
        return DecodeError if error.kind == "protocol" else IncompleteReadError
    return ServiceResponseError if error.kind == "protocol" else ServiceRequestError


def _told(error: HttpResponseError, status: int) -> HttpResponseError:
    error.status_code = status
    return error
