"""This package's errors as azure-core's: the class, what it tells, and what is behind it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from azure.core import exceptions as azure

from inference_async import errors
from inference_async.compat.azure_ai_inference._errors import azure_error, in_azure_terms


def refused(status: int, body: str = "", **fields: Any) -> errors.APIStatusError:
    return errors.APIStatusError.for_status(status)(f"got {status}", status=status, body=body, **fields)


def connection(kind: errors.ConnectionKind, phase: errors.Phase | None) -> errors.APIConnectionError:
    return errors.APIConnectionError("no answer", kind=kind, phase=phase)


def late(phase: errors.Phase) -> errors.APITimeoutError:
    return errors.APITimeoutError.for_phase(phase)("too late", phase=phase, elapsed=1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused(400), azure.HttpResponseError),
        (refused(401), azure.ClientAuthenticationError),
        (refused(403), azure.HttpResponseError),
        (refused(404), azure.ResourceNotFoundError),
        (refused(409), azure.ResourceExistsError),
        (refused(422), azure.HttpResponseError),
        (refused(429), azure.HttpResponseError),
        (refused(599), azure.HttpResponseError),
        (errors.CredentialError("no token"), azure.ClientAuthenticationError),
        (connection("dns", "connect"), azure.ServiceRequestError),
        (connection("certificate", "connect"), azure.ServiceRequestError),
        (connection("cut", "headers"), azure.ServiceRequestError),
        (connection("protocol", "headers"), azure.ServiceResponseError),
        (connection("protocol", "body"), azure.DecodeError),
        (connection("cut", "body"), azure.IncompleteReadError),
        (late("pool"), azure.ServiceRequestTimeoutError),
        (late("connect"), azure.ServiceRequestTimeoutError),
        (late("first_token"), azure.ServiceResponseTimeoutError),
        (late("between_tokens"), azure.ServiceResponseTimeoutError),
        (late("total"), azure.ServiceResponseTimeoutError),
        (errors.InvalidResponseError("no answer"), azure.DecodeError),
        (errors.IncompleteStreamError("cut"), azure.IncompleteReadError),
        (errors.StreamError("failed"), azure.HttpResponseError),
        (errors.EventTooLargeError("too large"), azure.HttpResponseError),
        (errors.ClientClosedError("closed"), ValueError),
        (errors.ConfigurationError("mend it"), errors.ConfigurationError),
        (errors.WrongEventLoopError("another loop"), errors.WrongEventLoopError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
async def test_the_class_and_the_cause(error: errors.InferenceError, kind: type[Exception]) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(kind) as caught:
        await in_azure_terms(fail())
    raised: Any = caught.value
    assert type(raised) is kind
    assert raised is error or raised.__cause__ is error
    assert getattr(raised, "exc_traceback", None) is None, "it would keep frames"
    again = pickle.loads(pickle.dumps(raised))
    assert (type(again), str(again)) == (kind, str(raised))


def test_a_refusal_tells_what_the_service_said() -> None:
    body = '{"error": {"code": "content_filter", "message": "No.", "innererror": {"code": "policy"}}}'
    error: Any = azure_error(refused(400, body, headers={"content-type": "text/plain", "retry-after": "3"}))
    assert (error.status_code, error.reason, error.model) == (400, "Bad Request", None)
    assert (error.error.code, error.error.message, error.error.innererror) == (
        "content_filter",
        "No.",
        {"code": "policy"},
    )
    assert "(content_filter) No." in str(error)
    assert (error.response.status_code, error.response.reason) == (400, "Bad Request")
    assert error.response.headers["Retry-After"] == error.response.headers.get("RETRY-AFTER") == "3"
    assert (error.response.content_type, error.response.text(), error.response.content) == (
        "text/plain",
        body,
        body.encode(),
    )
    assert error.response.json()["error"]["message"] == "No."


def test_a_refusal_without_words() -> None:
    error: Any = azure_error(refused(599))
    assert (error.status_code, error.reason, error.error, error.response.content_type) == (599, "", None, None)


def test_an_error_inside_a_stream_tells_its_code() -> None:
    error: Any = azure_error(errors.StreamError("it failed", code="engine", status=503))
    assert (error.status_code, error.error.code, error.error.message) == (503, "engine", "it failed")


def test_what_is_no_answer_tells_its_status() -> None:
    error: Any = azure_error(errors.InvalidResponseError("no answer", status=200))
    assert (error.status_code, error.inner_exception is error.__cause__) == (200, True)
