"""Faults in a status: refusals with the bodies that services word them in, hints when to come again, redirects."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, Final

from .behaviour import Fault
from .bodies import Asked, fixed
from .framings import BODILESS

__all__ = ["REDIRECTS", "RETRIES", "STATUSES"]

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_PAGE: Final = b"<html><head><title>%b</title></head><body><h1>%b</h1><hr>gateway</body></html>\n"


def _error(message: str, code: str | int | None, **further: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": code, **further}}


_REFUSALS: Final[tuple[tuple[str, int, str, object], ...]] = (
    ("400", 400, "the request is malformed", _error("Unrecognized request argument supplied: frob", "bad_request")),
    (
        "400-content-filter",
        400,
        "content safety refuses the prompt",
        _error(
            "The response was filtered due to the prompt triggering the content management policy.",
            "content_filter",
            param="prompt",
            status=400,
            innererror={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
            },
        ),
    ),
    (
        "400-extra-parameter",
        400,
        "a field is refused, in a detail that is text",
        {"detail": "Extra parameters ['frob'] are not allowed when extra-parameters is not set or set to be 'error'."},
    ),
    (
        "401",
        401,
        "the key is wrong",
        {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or has expired."},
    ),
    ("403", 403, "the role is missing", _error("Principal does not have access to API/Operation.", "PermissionDenied")),
    ("404", 404, "there is no such deployment", _error("The deployment does not exist.", "DeploymentNotFound")),
    (
        "404-serverless",
        404,
        "there is no such endpoint, in an error of one field",
        {"status": "Serverless endpoint not found"},
    ),
    ("405", 405, "the route does not allow the method", b"Method Not Allowed"),
    ("408", 408, "the model took too long", _error("Request timed out.", "Timeout")),
    ("409", 409, "the deployment is being changed", _error("The deployment is warming up.", "Conflict")),
    ("413", 413, "the request is too large", _error("Request body too large.", "RequestEntityTooLarge")),
    (
        "422",
        422,
        "the model does not support a parameter",
        {
            "status": 422,
            "code": "parameter_not_supported",
            "detail": {"loc": ["body", "response_format"], "input": "json_object"},
            "message": "One of the parameters contain invalid values.",
        },
    ),
    (
        "422-list",
        422,
        "a field is refused, in a detail that is a list",
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "frob"], "msg": "Extra inputs are not permitted"}]},
    ),
    (
        "422-nested",
        422,
        "a field is refused, in JSON inside the text of JSON",
        _error('{"detail":[{"type":"extra_forbidden","loc":["body","frob"]}]}', "Invalid input", status=422),
    ),
    ("424", 424, "the model behind the endpoint failed", _error("The model failed.", "FailedDependency")),
    ("429", 429, "too many requests, with no hint when to retry", _error("Too many requests.", "429")),
    ("429-code", 429, "too many requests, with a number for the code", _error("Too many requests.", 429)),
    (
        "429-quota",
        429,
        "the quota is used up, and waiting does not help",
        _error("You exceeded your current quota.", "insufficient_quota", type="insufficient_quota"),
    ),
    ("499", 499, "the client is said to have closed the request", b""),
    ("500", 500, "the server failed", _error("The server had an error.", "InternalServerError")),
    ("500-text", 500, "the server failed, with plain text labelled as JSON", b"Internal Server Error"),
    ("500-empty", 500, "the server failed, with an empty body", b""),
    ("500-list", 500, "the server failed, with a list", ["it", "failed"]),
    ("501", 501, "the server cannot do that", _error("Not implemented.", "NotImplemented")),
    ("502", 502, "the gateway got no good answer", _error("Bad gateway.", "BadGateway")),
    ("503", 503, "the server is overloaded", _error("The engine is currently overloaded.", "ServiceUnavailable")),
    ("504", 504, "the gateway got no answer in time", {"statusCode": 504, "message": "The operation timed out."}),
    ("524", 524, "a proxy got no answer in time", b"error code: 524"),
    ("529", 529, "the site is overloaded", {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}),
    ("599", 599, "an unknown status", b""),
    ("200-error", 200, "an error, with a status of success", _error("The engine failed.", "InternalServerError")),
    ("299", 299, "an unknown success, with the good answer", None),
)


def _echo(asked: Asked) -> tuple[bytes]:
    return (
        b'{"error":{"code":"401","message":"Incorrect API key provided: %b"}}' % asked.credential.encode("latin-1"),
    )


def _statuses() -> Iterator[Fault]:
    for name, status, summary, said in _REFUSALS:
        yield Fault(
            f"status-{name}",
            f"{status}: {summary}",
            "status",
            status=status,
            body=None if said is None else fixed(said),
            media=None if said is None else "application/json",
        )
    for status, words in ((404, b"Not Found"), (502, b"Bad Gateway"), (503, b"Service Unavailable")):
        yield Fault(
            f"status-{status}-html",
            f"{status}: a page of HTML, from a gateway",
            "status",
            status=status,
            media="text/html",
            body=fixed(_PAGE % (words, words)),
        )
    for status in (204, 205, 304):
        yield Fault(
            f"status-{status}", f"{status}: no body at all", "status", status=status, framing=BODILESS, media=""
        )
    yield Fault(
        "status-413-early",
        "413: the server answers before it has read the request's body, and closes",
        "status",
        status=413,
        reads="head",
        body=fixed(_error("Request body too large.", "RequestEntityTooLarge")),
        lines=("connection: close",),
        then="fin",
    )
    yield Fault(
        "status-401-echo",
        "401: the key or token comes back, in the body and in headers",
        "status",
        status=401,
        lines=(
            lambda asked: f"x-echo: {asked.credential}",
            lambda asked: f'www-authenticate: Bearer error="invalid_token", error_description="{asked.credential}"',
        ),
        body=_echo,
    )
    yield Fault(
        "status-401-expired",
        "401: the token has expired",
        "status",
        status=401,
        lines=('www-authenticate: Bearer error="invalid_token", error_description="The token expired"',),
        body=fixed(_error("The token has expired.", "401")),
    )
    needed = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}').decode()
    yield Fault(
        "status-401-claims",
        "401: the token was revoked, and a new one needs claims (continuous access evaluation)",
        "status",
        status=401,
        lines=(f'www-authenticate: Bearer realm="", error="insufficient_claims", claims="{needed}"',),
        body=fixed(_error("The token was revoked.", "401")),
    )


def _date(after: float) -> Callable[[Asked], str]:
    return lambda asked: f"retry-after: {formatdate(asked.at + after, usegmt=True)}"


_RETRIES: Final[tuple[tuple[str, str, tuple[str | Callable[[Asked], str], ...]], ...]] = (
    ("seconds", "retry in a second", ("retry-after: 1",)),
    ("zero", "retry at once", ("retry-after: 0",)),
    ("fraction", "retry in a twentieth of a second", ("retry-after: 0.05",)),
    ("date", "retry at a date, two seconds from now", (_date(2),)),
    (
        "skewed-date",
        "retry at a date, two seconds from now by the clock of the server, which is an hour fast",
        (lambda asked: f"date: {formatdate(asked.at + _HOUR, usegmt=True)}", _date(_HOUR + 2)),
    ),
    ("past-date", "retry at a date that is past", (_date(-_HOUR),)),
    ("impossible-date", "retry at a date that never was", ("retry-after: Sun, 31 Feb 2027 25:61:61 GMT",)),
    ("ms", "retry in 50 ms, in retry-after-ms", ("retry-after-ms: 50",)),
    ("x-ms", "retry in 50 ms, in x-ms-retry-after-ms", ("x-ms-retry-after-ms: 50",)),
    ("both", "retry in 50 ms, and in a minute", ("retry-after-ms: 50", "retry-after: 60")),
    ("ms-garbage", "retry-after-ms: soon, and retry in a second", ("retry-after-ms: soon", "retry-after: 1")),
    ("garbage", "retry-after: soon", ("retry-after: soon",)),
    ("empty", "retry-after without a value", ("retry-after: ",)),
    ("negative", "retry a second ago", ("retry-after: -1",)),
    ("nan", "retry in nan seconds", ("retry-after: nan",)),
    ("infinity", "retry in inf seconds", ("retry-after: inf",)),
    ("huge", "retry in a number of seconds with 5,000 digits", (f"retry-after: {'9' * 5000}",)),
    ("day", "retry in a day", (f"retry-after: {_DAY}",)),
    ("should", "x-should-retry: true", ("x-should-retry: true",)),
    ("should-not", "x-should-retry: false", ("x-should-retry: false",)),
)

STATUSES: Final = tuple(_statuses())
RETRIES: Final = (
    *(
        Fault(
            f"retry-{name}",
            f"429: {when}",
            "retry",
            status=429,
            lines=lines,
            body=fixed(_error("Too many requests.", "429")),
        )
        for name, when, lines in _RETRIES
    ),
    Fault(
        "retry-words",
        "429: retry after 37 seconds, in the message only",
        "retry",
        status=429,
        body=fixed(_error("Rate limit is exceeded. Please retry after 37 seconds.", "429")),
    ),
    Fault(
        "retry-503-seconds",
        "503: retry in a second",
        "retry",
        status=503,
        lines=("retry-after: 1",),
        body=fixed(_error("The engine is currently overloaded.", "ServiceUnavailable")),
    ),
    Fault(
        "retry-400-seconds",
        "400: retry in a second, although it will not help",
        "retry",
        status=400,
        lines=("retry-after: 1",),
        body=fixed(_error("Unrecognized request argument supplied: frob", "bad_request")),
    ),
    Fault(
        "retry-200-seconds",
        "200: the good answer, with a time to retry",
        "retry",
        lines=("retry-after: 60",),
    ),
)

_REDIRECTS: Final = (300, 301, 302, 303, 307, 308)
REDIRECTS: Final = (
    *(
        Fault(
            f"redirect-{status}",
            f"{status} to another origin, the target of the server",
            "redirect",
            status=status,
            lines=(lambda asked: f"location: {asked.target}",),
            body=fixed(b""),
            media="",
        )
        for status in _REDIRECTS
    ),
    Fault(
        "redirect-same-origin",
        "307 to another path of the same origin, where the next answer is",
        "redirect",
        status=307,
        lines=("location: /elsewhere",),
        body=fixed(b""),
        media="",
    ),
    Fault("redirect-nowhere", "307 without a location", "redirect", status=307, body=fixed(b""), media=""),
    Fault(
        "redirect-loop",
        "307 to the same address",
        "redirect",
        status=307,
        lines=(lambda asked: f"location: {asked.path}",),
        body=fixed(b""),
        media="",
    ),
    Fault(
        "redirect-garbage",
        "307 to an invalid address",
        "redirect",
        status=307,
        lines=("location: http://[::1:bad/",),
        body=fixed(b""),
        media="",
    ),
)
