"""Replies to results: each shape in which hosts word their errors, and each success that is none."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_async.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    InferenceError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from inference_async.policy.limits import Limits
from inference_async.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    ContentFilterResults,
    Embedding,
    EmbeddingsResult,
    ModelInfo,
    ResponseMeta,
    Usage,
)
from inference_async.wire.response import (
    _pattern,
    completion_from,
    describe_error,
    embeddings_from,
    error_from,
    excerpt,
    filter_error,
    head_of,
    meta_from,
    model_info_from,
    not_an_answer,
    redact,
    request_id_of,
    retry_after_of,
)

URL: Final = "https://h.example/v1/chat/completions"


def error(
    body: Any,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
    url: str = URL,
    secrets: tuple[str, ...] | None = None,
) -> APIStatusError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from(status=status, headers=headers or {}, body=data, url=url, secrets=secrets)


def complete(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> ChatCompletion:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return completion_from(status=status, headers=headers or {}, body=data, url=URL)


# ---------------------------------------------------------------------------------------------------------------------
# The shapes of errors


class Row(NamedTuple):
    status: int
    body: Any
    cls: type[APIStatusError]
    words: tuple[str, ...]
    code: str | None = None
    kind: str | None = None
    param: str | None = None
    categories: dict[str, Any] | None = None


HATE: Final[dict[str, Any]] = {
    "hate": {"filtered": True, "severity": "high"},
    "jailbreak": {"filtered": False, "detected": False},
}
EXTRA_PARAMETERS: Final = (
    "Extra parameters ['x'] are not allowed when extra-parameters is not set or set to be 'error'. "
    "Set extra-parameters to 'pass-through' to pass to the model."
)


def refused(where: str, key: str) -> dict[str, Any]:
    """A refused prompt, its verdicts under one of two keys in one of four places."""
    inner: dict[str, Any] = {"code": "ResponsibleAIPolicyViolation"}
    body: dict[str, Any] = {"error": {"message": "filtered", "type": None, "param": "prompt", "code": "content_filter"}}
    if where == "error":
        body["error"][key] = HATE
    elif where == "error.innererror":
        body["error"]["innererror"] = {**inner, key: HATE}
    elif where == "error.innererror.innererror":
        body["error"]["innererror"] = {"innererror": {**inner, key: HATE}}
    else:
        body["innererror"] = {**inner, key: HATE}
    return body


SHAPES: Final[dict[str, Row]] = {
    **{
        f"1 {where} {key}": Row(
            400,
            refused(where, key),
            ContentFilterError,
            ("filtered", "content safety refused the prompt for hate"),
            "content_filter",
            None,
            "prompt",
            HATE,
        )
        for where in ("error", "error.innererror", "error.innererror.innererror", "innererror")
        for key in ("content_filter_result", "content_filter_results")
    },
    "1 without verdicts": Row(
        400,
        {"error": {"message": "filtered", "code": "content_filter"}},
        ContentFilterError,
        ("filtered", "content safety refused the prompt"),
        "content_filter",
        categories={},
    ),
    "1 verdicts under another code": Row(
        400,
        {"error": {"message": "filtered", "code": "400", "innererror": {"content_filter_result": HATE}}},
        ContentFilterError,
        ("refused the prompt for hate",),
        "400",
        categories=HATE,
    ),
    "1 blocklist as a bare list": Row(
        400,
        {
            "error": {
                "message": "filtered",
                "code": "content_filter",
                "innererror": {"content_filter_result": {"custom_blocklists": [{"id": "b", "filtered": True}]}},
            }
        },
        ContentFilterError,
        ("filtered",),
        "content_filter",
        categories={"custom_blocklists": [{"id": "b", "filtered": True}]},
    ),
    "2 detail as object": Row(
        422,
        {
            "status": 422,
            "code": "parameter_not_supported",
            "detail": {"loc": ["body", "response_format"], "input": "json_object"},
            "message": "One of the parameters contain invalid values.",
        },
        UnprocessableEntityError,
        (
            "One of the parameters contain invalid values",
            "response_format",
            "json_object",
            "does not take the parameter",
        ),
        "parameter_not_supported",
        param="response_format",
    ),
    "2 detail with value": Row(
        422,
        {"status": 422, "detail": {"loc": ["body", "n"], "value": "2"}, "message": "Invalid."},
        UnprocessableEntityError,
        ("Invalid", "n: got '2'"),
        param="n",
    ),
    "2 detail as list": Row(
        422,
        {
            "code": "parameter_not_supported",
            "detail": [{"loc": ["body", "tools", 0], "input": "x"}, {"loc": ["body", "seed"], "input": "y"}],
            "message": "Invalid.",
        },
        UnprocessableEntityError,
        ("Invalid", "tools.0: got 'x'", "seed: got 'y'"),
        "parameter_not_supported",
        param="tools.0",
    ),
    "3": Row(
        400,
        {"detail": EXTRA_PARAMETERS},
        BadRequestError,
        ("Extra parameters ['x'] are not allowed", "extra_mode='pass-through'", "extra_mode='drop'"),
    ),
    "4": Row(
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options", "include_usage"],
                    "msg": "Extra inputs are not permitted",
                    "input": True,
                    "url": "https://errors.example/",
                    "ctx": {},
                },
                {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": {}},
            ]
        },
        UnprocessableEntityError,
        ("stream_options.include_usage: Extra inputs are not permitted", "model: Field required"),
        param="stream_options.include_usage",
    ),
    "5": Row(
        422,
        {
            "error": {
                "code": "Invalid input",
                "message": '{"detail":[{"type":"extra_forbidden",'
                '"loc":["body","stream_options","include_usage"],"msg":"Extra inputs are not permitted"}]}',
                "status": 422,
            }
        },
        UnprocessableEntityError,
        ("stream_options.include_usage: Extra inputs are not permitted", "code Invalid input"),
        "Invalid input",
        param="stream_options.include_usage",
    ),
    "5 nested error": Row(
        400,
        {"error": {"code": "outer", "message": '{"error":{"message":"inner words","code":"inner","type":"t"}}'}},
        BadRequestError,
        ("inner words",),
        "inner",
        "t",
    ),
    "5 refusal inside": Row(
        400,
        {"error": {"code": "BadRequest", "message": json.dumps(refused("error.innererror", "content_filter_result"))}},
        ContentFilterError,
        ("filtered", "for hate"),
        "content_filter",
        None,
        "prompt",
        HATE,
    ),
    "5 not JSON after all": Row(
        400, {"error": {"message": "{braces} and words"}}, BadRequestError, ("{braces} and words",)
    ),
    "6": Row(
        401,
        {
            "statusCode": 401,
            "message": "Unauthorized. Access token is missing, invalid, "
            "audience is incorrect (https://ai.azure.com), or have expired.",
        },
        AuthenticationError,
        ("audience is incorrect (https://ai.azure.com)", "audience and the expiry of the token"),
    ),
    "7": Row(
        401,
        {"error": "Unauthorized", "message": "Access denied.", "status": 401},
        AuthenticationError,
        ("Access denied", "code Unauthorized", "check the key"),
        "Unauthorized",
    ),
    "7 words alone": Row(404, {"error": "no such model"}, NotFoundError, ("no such model",)),
    "8": Row(
        404,
        {"error": {"code": "unknown_model", "message": "Unknown model: X", "details": "Unknown model: X"}},
        NotFoundError,
        ("Unknown model: X", "code unknown_model", "the deployment's name"),
        "unknown_model",
    ),
    "8 no_model_name": Row(
        400,
        {"error": {"code": "no_model_name", "message": "No model specified.", "details": "Give one."}},
        BadRequestError,
        ("No model specified", "Give one"),
        "no_model_name",
    ),
    "8 numeric code": Row(
        404, {"error": {"code": "404", "message": "Resource not found"}}, NotFoundError, ("Resource not found",), "404"
    ),
    "9": Row(404, {"status": "Serverless endpoint not found"}, NotFoundError, ("Serverless endpoint not found",)),
    "10": Row(
        400,
        {
            "error": {
                "message": "Unrecognized request argument supplied: X",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
        BadRequestError,
        ("Unrecognized request argument supplied: X",),
        None,
        "invalid_request_error",
    ),
    "10 code as number": Row(
        429,
        {"error": {"message": "Slow.", "code": 429, "type": "t", "param": "messages"}},
        RateLimitError,
        ("Slow", "slow down, or ask for more quota"),
        "429",
        "t",
        "messages",
    ),
    "11": Row(
        401,
        {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."},
        AuthenticationError,
        ("AADSTS7000215", "code invalid_client"),
        "invalid_client",
    ),
    "12 text": Row(503, b"upstream connect error", InternalServerError, ("upstream connect error", "try again later")),
    "12 HTML": Row(
        502,
        b"<html><head><title>502 Bad Gateway</title><style>a{b:c}</style></head>\r\n<body>nginx</body></html>",
        InternalServerError,
        ("502 Bad Gateway nginx",),
    ),
    "12 empty": Row(504, b"", InternalServerError, ("without a reason",)),
    "12 list": Row(400, [{"error": {"message": "in a list", "code": 400}}], BadRequestError, ("in a list",), "400"),
    "12 empty list": Row(400, [], BadRequestError, ("without a reason",)),
    "12 text in JSON": Row(500, b'"just words"', InternalServerError, ("just words",)),
    "12 null": Row(500, b"null", InternalServerError, ("without a reason",)),
    "12 number": Row(500, b"5", InternalServerError, ("got 500",)),
    "12 invalid UTF-8": Row(500, b"caf\xe9", InternalServerError, ("caf\ufffd",)),
    "13 token limit": Row(
        429, {"statusCode": 429, "message": "Token limit is exceeded."}, RateLimitError, ("Token limit is exceeded",)
    ),
    "13 quota": Row(
        403,
        {"statusCode": 403, "message": "Out of call volume quota."},
        PermissionDeniedError,
        ("Out of call volume quota", "check the role of the identity"),
    ),
    "13 free text": Row(403, b"Request blocked by policy", PermissionDeniedError, ("Request blocked by policy",)),
    "nested innererror without verdicts": Row(
        400,
        {"error": {"message": "bad", "code": "BadRequest", "innererror": {"innererror": {"innererror": {}}}}},
        BadRequestError,
        ("bad",),
        "BadRequest",
    ),
    "fields of the wrong kind": Row(
        400,
        {"error": {"message": ["x"], "code": {"a": 1}, "type": [1], "param": {}, "innererror": 5, "details": 7}},
        BadRequestError,
        ("got 400",),
    ),
}


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES)
def test_shape(row: Row) -> None:
    found = error(row.body, row.status)
    assert type(found) is row.cls
    assert (found.status, found.code, found.type, found.param) == (row.status, row.code, row.kind, row.param)
    assert str(found).startswith(f"got {row.status} from {URL}")
    for word in row.words:
        assert word in str(found)
    if isinstance(found, ContentFilterError):
        assert found.categories == row.categories
    assert "\n" not in str(found)


def test_message_in_full() -> None:
    found = error(
        {"error": {"message": "Too long.", "code": "context_length_exceeded", "type": "t", "param": "messages"}},
        400,
        {"apim-request-id": "r-1"},
        URL + "?api-version=v1&code=hidden#f",
    )
    assert str(found) == f"got 400 from {URL}: Too long (code context_length_exceeded, request id r-1)"
    assert (found.detail, found.url, found.request_id) == ("Too long.", URL, "r-1")
    assert found.body.startswith('{"error":')
    assert found.headers == {"apim-request-id": "r-1"}


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_refusal_is_only_one_of_400(status: int) -> None:
    found = error(refused("error.innererror", "content_filter_result"), status)
    assert type(found) is APIStatusError.for_status(status)


# ---------------------------------------------------------------------------------------------------------------------
# What to do

ADVICE: Final[dict[str, tuple[int, dict[str, str], str, str]]] = {
    "400": (400, {}, URL, ""),
    "401": (401, {}, URL, "check the key, or the audience and the expiry of the token"),
    "403": (403, {}, URL, "check the role of the identity, and the network rules of the resource"),
    "404": (404, {}, URL, "check the endpoint and the deployment's name"),
    "404 models": (404, {}, "https://h.example/models/chat/completions", "/openai/v1 of the same host"),
    "405": (405, {}, URL, "is it a chat model?"),
    "413": (413, {}, URL, "the request is too large"),
    "422": (422, {}, URL, "leave it out, or use another model"),
    "429": (429, {}, URL, "slow down, or ask for more quota"),
    "429 with a time": (429, {"retry-after": "7"}, URL, "the service asks to wait 7 s"),
    "500": (500, {}, URL, "try again later"),
    "529": (529, {}, URL, "try again later"),
    "redirect": (307, {"location": "https://evil.example/login?x=1"}, URL, "check the endpoint's URL"),
    "redirect to nowhere": (301, {}, URL, "check the endpoint's URL"),
    "redirect to rubbish": (302, {"location": "http://[bad"}, URL, "redirects are not followed"),
}


@pytest.mark.parametrize(("status", "headers", "url", "words"), ADVICE.values(), ids=ADVICE)
def test_advice(status: int, headers: dict[str, str], url: str, words: str) -> None:
    message = str(error({"message": "m"}, status, headers, url))
    if words:
        assert "; " in message
        assert words in message
    else:
        assert message == f"got {status} from {url}: m"


# ---------------------------------------------------------------------------------------------------------------------
# Bounds, control characters, secrets


@pytest.mark.parametrize("place", ["message", "code"])
def test_no_control_characters(place: str) -> None:
    found = error({"error": {"message": "m", place: "a\x1b[2J\r\nb\x00\x85\u2028\u2029c"}})
    assert str(found).isprintable()
    assert "a [2J b c" in str(found)
    assert found.detail.isprintable()


@pytest.mark.parametrize("place", ["message", "code", "type", "param"])
def test_messages_are_bounded(place: str) -> None:
    found = error({"error": {"message": "m", place: "x" * 300_000}})
    assert len(str(found)) < 4096
    assert len(found.detail) <= 2048


def test_detail_and_body_are_bounded() -> None:
    found = error({"error": {"message": "x" * 300_000}})
    assert len(found.detail) == 2048
    assert found.detail.endswith("x…")
    assert len(found.body) == 65_536
    exact = error({"error": {"message": "x" * 2048}})
    assert exact.detail == "x" * 2048


def test_not_an_answer_is_bounded_and_clean() -> None:
    found = not_an_answer(
        "HTML", status=200, headers={"content-type": "text/html"}, body=b"<p>\x1b[2J\n" * 10_000, url=URL
    )
    assert str(found).isprintable()
    assert len(str(found)) < 600
    assert len(found.body) <= 2048
    assert found.body.isprintable()
    assert (found.status, found.request_id) == (200, None)
    assert "text/html" in str(found)


KEY: Final = "sk-1234/5678+90ab=="


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": {"message": f"bad key {KEY}."}}, id="message"),
        pytest.param({"error": {"message": "bad key", "code": f"key:{KEY}"}}, id="code"),
        pytest.param({"error": {"message": "bad key", "param": KEY, "type": KEY}}, id="param and type"),
        pytest.param({"error": KEY}, id="error"),
        pytest.param({"detail": [{"loc": ["header", KEY], "msg": KEY}]}, id="detail"),
        pytest.param({"error": {"message": json.dumps({"error": {"message": KEY}})}}, id="JSON in a string"),
        pytest.param(f"<p>{KEY}</p>".encode(), id="HTML"),
        pytest.param(b'{"error":{"message":"bad key ' + KEY.replace("/", "\\/").encode() + b'"}}', id="escaped"),
        pytest.param(refused("error", "content_filter_result") | {"message": KEY}, id="body of a refusal"),
        pytest.param(
            {"error": {"code": "content_filter", "content_filter_result": {"hate": {"filtered": True, "by": KEY}}}},
            id="categories",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
def test_no_secret_in_an_error(body: Any, status: int) -> None:
    found = error(body, status, {"x-echo": f"Bearer {KEY}"}, secrets=("", KEY))
    held = {name: value for name, value in vars(found).items() if name != "headers"}
    assert KEY not in str(found)
    assert KEY not in str(held)
    assert KEY.replace("/", "\\/") not in found.body


def test_no_secret_in_the_headers_of_an_error() -> None:
    found = error({"message": "m"}, 401, {"x-echo": f"Bearer {KEY}"}, secrets=(KEY,))
    assert KEY not in str(found.headers)


@pytest.mark.parametrize("before", [0, 150, 195, 2040], ids=str)
def test_no_secret_in_a_reply_that_is_no_answer(before: int) -> None:
    body = b"x" * before + KEY.encode() + b"y" * 5000
    found = not_an_answer("text", status=200, headers={}, body=body, url=URL, secrets=(KEY,))
    for part in (KEY, KEY[:6]):
        assert part not in str(found)
        assert part not in found.body


def test_no_query_in_an_error() -> None:
    for found in (
        error({"message": "m"}, 404, url="https://h.example/x?subscription-key=hidden#hidden"),
        not_an_answer("text", status=200, headers={}, body=b"", url="https://h.example/x?subscription-key=hidden"),
    ):
        assert "hidden" not in str(found)
        assert "https://h.example/x" in str(found)


# ---------------------------------------------------------------------------------------------------------------------
# Headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"x-ms-client-request-id": "d"}, "d", id="the client's own"),
        pytest.param({"x-ms-client-request-id": "d", "x-ms-request-id": "c"}, "c", id="x-ms-request-id"),
        pytest.param({"x-ms-request-id": "c", "apim-request-id": "b"}, "b", id="apim-request-id"),
        pytest.param({"apim-request-id": "b", "x-request-id": "a"}, "a", id="x-request-id"),
        pytest.param({"x-request-id": "", "apim-request-id": "b"}, "b", id="empty"),
    ],
)
def test_request_id(headers: dict[str, str], expected: str | None) -> None:
    assert request_id_of(headers) == expected
    assert error({"message": "m"}, 400, headers).request_id == expected
    if expected is not None:
        assert f"(request id {expected})" in str(error({"message": "m"}, 400, headers))
        meta = meta_from(200, headers, "own", 0.5)
        assert (meta.request_id, meta.client_request_id, meta.elapsed) == (expected, "own", 0.5)


def test_meta_without_a_request_id_has_the_clients() -> None:
    meta = meta_from(200, {"a": "b"}, "own", 0.5)
    assert (meta.status, meta.request_id, meta.client_request_id, meta.headers) == (200, "own", "own", {"a": "b"})


DATE: Final = "Wed, 21 Oct 2026 07:28:00 GMT"
LATER: Final = "Wed, 21 Oct 2026 07:30:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"retry-after": "3"}, 3.0, id="seconds"),
        pytest.param({"retry-after": " 3 "}, 3.0, id="seconds with spaces"),
        pytest.param({"retry-after": "1.5"}, 1.5, id="fraction"),
        pytest.param({"retry-after": "0"}, 0.0, id="zero"),
        pytest.param({"retry-after": "86400"}, 86_400.0, id="a day"),
        pytest.param({"retry-after-ms": "300"}, 0.3, id="ms"),
        pytest.param({"x-ms-retry-after-ms": "300"}, 0.3, id="x-ms"),
        pytest.param({"retry-after-ms": "300", "x-ms-retry-after-ms": "400", "retry-after": "1"}, 0.3, id="ms first"),
        pytest.param({"x-ms-retry-after-ms": "400", "retry-after": "1"}, 0.4, id="x-ms before seconds"),
        pytest.param({"retry-after-ms": "soon", "retry-after": "1"}, 1.0, id="nonsense, then seconds"),
        pytest.param({"retry-after-ms": "-5", "retry-after": "1"}, 1.0, id="negative, then seconds"),
        pytest.param({"retry-after-ms": "", "retry-after": "1"}, 1.0, id="empty, then seconds"),
        pytest.param({"retry-after": LATER, "date": DATE}, 120.0, id="date"),
        pytest.param({"retry-after": DATE, "date": LATER}, 0.0, id="date in the past"),
        pytest.param({"retry-after": LATER}, 0.0, id="date in the past by this machine's clock"),
        pytest.param({"retry-after": "soon", "date": DATE}, None, id="nonsense"),
        pytest.param({"retry-after": ""}, None, id="empty"),
        pytest.param({"retry-after": "-1"}, None, id="negative"),
        pytest.param({"retry-after": "nan"}, None, id="nan"),
        pytest.param({"retry-after": "inf"}, None, id="inf"),
        pytest.param({"retry-after": "-inf"}, None, id="-inf"),
        pytest.param({"retry-after": "1e999"}, None, id="too large"),
        pytest.param({"retry-after": "9" * 5000}, None, id="huge"),
        pytest.param({"retry-after": "9" * 300}, float("9" * 300), id="huge, and a number"),
        pytest.param({"retry-after": "1e3"}, 1000.0, id="exponent"),
        pytest.param({"retry-after": "3, 5"}, None, id="sent twice"),
        pytest.param({"retry-after": "3 seconds"}, None, id="with a unit"),
        pytest.param({"retry-after-ms": "0"}, 0.0, id="no milliseconds"),
        pytest.param({"retry-after-ms": "0.5"}, 0.0005, id="half a millisecond"),
        pytest.param({"retry-after-ms": "nan", "retry-after": "1"}, 1.0, id="nan, then seconds"),
        pytest.param({"retry-after-ms": "inf", "x-ms-retry-after-ms": "400"}, 0.4, id="inf, then x-ms"),
        pytest.param({"x-ms-retry-after-ms": "-1", "retry-after": "1"}, 1.0, id="negative x-ms, then seconds"),
        pytest.param({"retry-after-ms": "soon"}, None, id="nonsense in ms alone"),
        pytest.param({"retry-after": "1_0"}, None, id="a number of Python's alone"),
        pytest.param({"retry-after-ms": "9" * 400}, None, id="huge in ms"),
        pytest.param({"retry-after-ms": LATER, "date": DATE}, 120.0, id="date for milliseconds"),
        pytest.param({"retry-after": DATE, "date": DATE}, 0.0, id="date of now"),
        pytest.param({"retry-after": "Wed, 21 Oct 2026 09:30:00 +0200", "date": DATE}, 120.0, id="another zone"),
        pytest.param({"retry-after": "Wed, 21 Oct 2026 07:30:00", "date": DATE}, None, id="no zone"),
        pytest.param({"retry-after": "Thu, 22 Oct 2026 07:28:00 GMT", "date": DATE}, 86_400.0, id="date of tomorrow"),
        pytest.param(
            {"retry-after": "Wed, 99 Oct 99999999999999999999 07:28:00 GMT", "date": DATE}, None, id="bad date"
        ),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_of(headers) == expected
    assert error({"message": "m"}, 429, headers).retry_after == expected


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_date_counts_from_this_machines_clock_where_the_answer_has_none(date: str | None) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    seconds = retry_after_of({"retry-after": soon} | ({} if date is None else {"date": date}))
    assert seconds is not None
    assert 290 < seconds <= 300


@given(st.text(max_size=30), st.text(max_size=30))
def test_retry_after_never_fails(value: str, date: str) -> None:
    seconds = retry_after_of({"retry-after": value, "date": date, "retry-after-ms": value[:10]})
    assert seconds is None or 0 <= seconds < float("inf")


# ---------------------------------------------------------------------------------------------------------------------
# No body makes the reading itself fail

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "details", "code", "status", "loc", "msg", "input", "innererror", "type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([200, 302, 400, 404, 422, 503]))
def test_any_json(body: Any, status: int) -> None:
    found = error(body, status)
    assert str(found).startswith("got ")
    assert found.headers == {}


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    assert isinstance(error(body), BadRequestError)
    with contextlib.suppress(APIStatusError, InvalidResponseError):
        complete(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"status":"²²²","message":"m"}'.encode(), id="digits that are no number"),
        pytest.param('{"error":{"code":"٤٠٠","message":"m"}}'.encode(), id="digits of another script"),
        pytest.param(b'{"statusCode":1e999,"message":"m"}', id="number too large"),
        pytest.param(b'{"code":' + b"9" * 5000 + b',"message":"m"}', id="number too long"),
        pytest.param(b'{"status":true,"message":"m"}', id="boolean"),
        pytest.param(b'{"message":"m \\ud800"}', id="lone surrogate"),
    ],
)
def test_odd_values(body: bytes) -> None:
    assert isinstance(error(body), BadRequestError)


def test_any_depth() -> None:
    """Nested just below what the JSON decoder refuses, reading and quoting must not run out of stack."""
    shapes = ('{}"m"{}', '{{"detail":[{{"loc":["a"],"input":{}{}}}]}}', '{{"detail":[{{"loc":[{}{}],"msg":"m"}}]}}')
    for shape in shapes:
        for depth in [*range(900, 1000), 2_000, 5_000, 100_000]:
            body = shape.format("[" * depth, "]" * depth).encode()
            assert isinstance(error(body), BadRequestError)


@pytest.mark.parametrize("unit", [b"<", b"<script", b"<script>", b"<!--", b"{", b'{"error":'], ids=bytes.decode)
def test_a_body_of_broken_tags_is_read(unit: bytes) -> None:
    assert isinstance(error(unit * 500), BadRequestError)


# ---------------------------------------------------------------------------------------------------------------------
# Successes

ANSWER: Final[dict[str, Any]] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ANSWER, id="plain"),
        pytest.param({**ANSWER, "created": 1.0}, id="created as float"),
        pytest.param({**ANSWER, "error": None}, id="error null"),
        pytest.param({**ANSWER, "provider": "p"}, id="unknown field"),
        pytest.param({**ANSWER, "system_fingerprint": None, "service_tier": None}, id="nulls"),
        pytest.param(b"\n" + json.dumps(ANSWER).encode() + b"\r\n", id="white space"),
    ],
)
def test_completion(body: Any) -> None:
    completion = complete(body)
    assert (completion.text, completion.finish_reason, completion.id, completion.created) == ("hi", "stop", "c", 1)
    assert completion.usage is not None
    assert completion.usage.total_tokens == 2


def test_completion_keeps_unknown_fields() -> None:
    completion = complete(
        {
            **ANSWER,
            "provider": "p",
            "choices": [{"message": {"content": None, "mood": 1, "tool_calls": None}, "stop_reason": 5}],
        }
    )
    assert completion.extra == {"provider": "p"}
    assert completion.choices[0].extra == {"stop_reason": 5}
    assert completion.message.extra == {"mood": 1}
    assert completion.tool_calls == []


@pytest.mark.parametrize("choices", [[], None], ids=repr)
def test_a_completion_without_choices_is_none(choices: Any) -> None:
    with pytest.raises(InvalidResponseError, match="JSON without a choice"):
        complete({**ANSWER, "choices": choices})


@pytest.mark.parametrize(
    "choice", [{}, {"index": 0, "finish_reason": "stop"}, {"message": None}, {"text": "hi"}], ids=repr
)
def test_a_choice_without_a_message_is_none(choice: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError, match="a choice without a message"):
        complete({**ANSWER, "choices": [*ANSWER["choices"], choice]})


def test_a_message_may_say_nothing_and_content_safety_may_take_it_away() -> None:
    quiet = {"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}
    assert [choice.message.text for choice in complete({**ANSWER, "choices": [quiet, {"message": {}}]}).choices] == [
        "",
        "",
    ]
    filtered = {"finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
    assert complete({**ANSWER, "choices": [filtered]}).choices[0].content_filter.filtered == ("hate",)


def test_a_choice_of_a_negative_number_is_the_first() -> None:
    completion = complete({**ANSWER, "choices": [{**ANSWER["choices"][0], "index": -1}]})
    assert (completion.text, completion.choices[0].index) == ("hi", 0)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please retry after 37 seconds.", 37.0),
        ("Please try again in 1.5s.", 1.5),
        ("try again in 250ms", 0.25),
        ("Please retry after 20 milliseconds", 0.02),
        ("Please retry later", None),
        ("Retry after lunch", None),
        ("retry after 99999999999999999999 seconds", None),
    ],
)
def test_a_wait_that_stands_in_the_message_only(words: str, seconds: float | None) -> None:
    body = json.dumps({"error": {"message": words}}).encode()
    url = "https://h.example/v1/chat/completions"
    assert error_from(status=429, headers={}, body=body, url=url).retry_after == seconds
    assert error_from(status=429, headers={"retry-after": "5"}, body=body, url=url).retry_after == 5
    assert error_from(status=400, headers={}, body=body, url=url).retry_after is None


def test_blocked_answer_is_a_success() -> None:
    completion = complete({**ANSWER, "choices": [{"index": 0, "finish_reason": "content_filter", "message": {}}]})
    assert (completion.finish_reason, completion.text) == ("content_filter", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"<html>Sign in</html>", "not JSON", id="HTML"),
        pytest.param(b'{"id":"c","choices":[', "not JSON", id="cut"),
        pytest.param(b"\xff\xfe", "not JSON", id="binary"),
        pytest.param(b"[" * 100_000, "nested over 64 levels deep", id="deep"),
        pytest.param({}, "no chat completion", id="empty object"),
        pytest.param([ANSWER], "no chat completion", id="list"),
        pytest.param(None, "no chat completion", id="null"),
        pytest.param({"data": [], "object": "list"}, "no chat completion", id="embeddings"),
        pytest.param({**ANSWER, "choices": "x"}, "no chat completion", id="choices text"),
        pytest.param({**ANSWER, "choices": [1]}, "another shape", id="choice number"),
        pytest.param({**ANSWER, "choices": [{"message": "x"}]}, "$.choices[0].message", id="message text"),
    ],
)
def test_no_completion(body: Any, words: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        complete(body, headers={"content-type": "text/x", "x-request-id": "r"})
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"got 200 from {URL} with ")
    assert "text/x" in str(caught.value)
    assert caught.value.request_id == "r"
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, InferenceError)


@pytest.mark.parametrize(
    ("body", "status", "cls"),
    [
        pytest.param({"error": {"message": "m", "code": 429}}, 429, RateLimitError, id="status in the code"),
        pytest.param({"error": {"message": "m", "status": 422}}, 422, UnprocessableEntityError, id="status"),
        pytest.param({"error": {"message": "m", "code": "503"}}, 503, InternalServerError, id="status as text"),
        pytest.param({"error": {"message": "m"}, "statusCode": 401}, 401, AuthenticationError, id="statusCode beside"),
        pytest.param({"error": "model crashed"}, 200, APIStatusError, id="text without a status"),
        pytest.param({"error": {"message": "m", "code": 7}}, 200, APIStatusError, id="a code that is no status"),
        pytest.param({**ANSWER, "error": {"message": "m", "code": 500}}, 500, InternalServerError, id="in an answer"),
    ],
)
def test_error_in_a_success(body: Any, status: int, cls: type[APIStatusError]) -> None:
    with pytest.raises(APIStatusError) as caught:
        complete(body)
    assert type(caught.value) is cls
    assert caught.value.status == status


def test_refusal_in_a_success() -> None:
    with pytest.raises(ContentFilterError) as caught:
        complete(refused("error.innererror", "content_filter_result"))
    assert caught.value.categories == HATE


@pytest.mark.parametrize(
    ("data", "limit", "expected"),
    [
        (b"", 200, "(empty)"),
        (b" \n\t", 200, "(empty)"),
        (b"abc", 200, "abc"),
        (b"a\r\nb", 200, "a b"),
        (b"abcdef", 4, "abc…"),
        (b"abcd", 4, "abcd"),
        ("é".encode() * 10, 4, "ééé…"),
        (b"\xff", 4, "\ufffd"),
    ],
    ids=repr,
)
def test_excerpt(data: bytes, limit: int, expected: str) -> None:
    assert excerpt(data, limit) == expected


def test_describe_replaces_what_is_no_text() -> None:
    assert describe_error(b"caf\xe9 <b>au</b> lait").message == "caf\ufffd au lait"


def test_describe_says_nothing_of_nothing() -> None:
    assert describe_error(b"") == ("", None, None, None, None, None)
    assert describe_error(b"{}") == ("", None, None, None, None, None)


def test_a_401_to_a_call_without_a_credential_says_so() -> None:
    assert "no credential was sent" in str(error({"message": "m"}, 401, secrets=()))
    assert "check the key" in str(error({"message": "m"}, 401, secrets=("some-key",)))


def test_an_input_that_may_be_the_prompt_is_not_quoted() -> None:
    found = error({"message": "x", "detail": {"loc": ["body", "messages"], "input": "MY PROMPT"}}, 422)
    assert "MY PROMPT" not in str(found)
    assert found.param == "messages"
    named = error({"message": "x", "detail": {"loc": ["body", "seed"], "input": "y"}}, 422)
    assert "seed: got 'y'" in str(named)


def test_a_model_that_is_missing_says_where_it_goes() -> None:
    assert "name the deployment with model=" in str(error({"error": {"code": "no_model_name", "message": "m"}}, 400))


@pytest.mark.parametrize("secret", ["abc+def/ghi==", 'with"quote\\s', "plain-key-0123"])
def test_a_secret_is_masked_however_json_escapes_it(secret: str) -> None:
    escapes = (
        json.dumps(secret)[1:-1],
        "".join(f"\\u{ord(char):04x}" for char in secret),
        "".join(f"\\u{ord(char):04X}" for char in secret),
        json.dumps(secret)[1:-1].replace("/", "\\/"),
    )
    for escaped in escapes:
        found = error(f'{{"error": {{"message": "bad key {escaped}"}}}}'.encode(), 401, secrets=(secret,))
        assert found.detail == "bad key [secret]"
        assert escaped not in found.body


# ---------------------------------------------------------------------------------------------------------------------
# Embeddings, and what an endpoint says of its model


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def embeddings(body: Any, **more: Any) -> EmbeddingsResult:
    return embeddings_from(status=200, headers={}, body=as_bytes(body), url="https://h.example/v1/embeddings", **more)


def model_info(body: Any) -> ModelInfo:
    return model_info_from(status=200, headers={}, body=as_bytes(body), url="https://h.example/info")


VECTOR: Final[dict[str, Any]] = {"object": "embedding", "index": 0, "embedding": [0.5, -1]}


def test_embeddings() -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    found = embeddings({"id": "e", "object": "list", "model": "m", "data": [VECTOR], "usage": usage})
    assert found == EmbeddingsResult(
        id="e",
        object="list",
        model="m",
        data=[Embedding(index=0, embedding=[0.5, -1], object="embedding")],
        usage=Usage(prompt_tokens=3, total_tokens=3),
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"data": [{"embedding": [1]}]}, EmbeddingsResult(data=[Embedding(embedding=[1])]), id="the least"),
        pytest.param({"data": []}, EmbeddingsResult(), id="none"),
        pytest.param({"data": None}, EmbeddingsResult(), id="null"),
        pytest.param(
            {"id": None, "model": None, "data": [{"index": None, "embedding": "AA=="}], "usage": None},
            EmbeddingsResult(data=[Embedding(embedding="AA==")]),
            id="nulls",
        ),
        pytest.param(
            {"data": [{"embedding": [1], "a": 1}], "b": 2, "usage": {"prompt_patches": 3}},
            EmbeddingsResult(
                data=[Embedding(embedding=[1], unknown_fields={"a": 1})],
                usage=Usage(unknown_fields={"prompt_patches": 3}),
                unknown_fields={"b": 2},
            ),
            id="unknown fields",
        ),
        pytest.param(
            {"data": [VECTOR], "usage": "free"},
            EmbeddingsResult(
                data=[Embedding(embedding=[0.5, -1], object="embedding")], unknown_fields={"usage": "free"}
            ),
            id="a usage that is none",
        ),
    ],
)
def test_embeddings_out_of_the_ordinary(body: Any, expected: EmbeddingsResult) -> None:
    assert embeddings(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="page"),
        pytest.param(b"[]", id="list"),
        pytest.param({}, id="no data"),
        pytest.param({"data": {"0": VECTOR}}, id="data is an object"),
        pytest.param({"data": "AA=="}, id="data is text"),
        pytest.param({"data": [[1.0]]}, id="vectors without a frame"),
        pytest.param({"choices": []}, id="a chat completion"),
    ],
)
def test_no_embeddings(body: Any) -> None:
    with pytest.raises(InvalidResponseError, match="list of embeddings"):
        embeddings(body)


@pytest.mark.parametrize("read", [embeddings, model_info])
def test_an_error_in_a_success_of_another_call(read: Any) -> None:
    with pytest.raises(RateLimitError, match="slow down"):
        read({"error": {"message": "slow down", "code": 429}})


def test_no_secret_in_a_reply_that_is_no_embeddings() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        embeddings(b"<html>key-0123456789", secrets=("key-0123456789",))
    assert "key-0123456789" not in str(caught.value) + caught.value.body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"model_name": "n", "model_type": "chat-completion", "model_provider_name": "p"},
            ModelInfo(model_name="n", model_type="chat-completion", model_provider_name="p"),
            id="usual",
        ),
        pytest.param({"model_name": "n", "model_type": None}, ModelInfo(model_name="n"), id="null"),
        pytest.param({"model_name": "n", "a": 1}, ModelInfo(model_name="n", unknown_fields={"a": 1}), id="unknown"),
    ],
)
def test_model_info(body: Any, expected: ModelInfo) -> None:
    assert model_info(body) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'"m"'], ids=repr)
def test_no_model_info(body: bytes) -> None:
    with pytest.raises(InvalidResponseError, match="description of a model"):
        model_info(body)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/info", "only serverless endpoints and managed compute say which model they hold"),
        ("/info?api-version=1", "only serverless endpoints"),
        ("/models/images/embeddings", "only /models, serverless endpoints and managed compute embed images"),
        ("/models/chat/completions", "/openai/v1 of the same host is its successor"),
        ("/openai/v1/embeddings", "check the endpoint and the deployment's name"),
    ],
)
def test_advice_of_a_404(path: str, words: str) -> None:
    found = error_from(status=404, headers={}, body=b"{}", url=f"https://h.example{path}")
    assert isinstance(found, NotFoundError)
    assert words in str(found)


# ---------------------------------------------------------------------------------------------------------------------
# An answer that was cut, as an error

CUT: Final = {"hate": {"filtered": True, "severity": "high"}, "violence": {"filtered": False, "severity": "safe"}}


def test_filter_error() -> None:
    completion = ChatCompletion(
        choices=[
            Choice(finish_reason="content_filter", content_filter_results=CUT, message=AssistantMessage(content="He")),
        ],
        meta=ResponseMeta(status=200, request_id="r1", headers={"x-ms-region": "north"}),
    )
    found = filter_error(completion, url="https://h.example/v1/chat/completions?key=secret")
    assert found is not None
    assert str(found) == "content safety cut the answer of https://h.example/v1/chat/completions for hate"
    assert found.content_filter == ContentFilterResults(CUT)
    assert found.categories == CUT
    assert found.completion is completion
    assert (found.status, found.code, found.request_id) == (200, "content_filter", "r1")
    assert (found.headers, found.url) == ({"x-ms-region": "north"}, "https://h.example/v1/chat/completions")
    twin = pickle.loads(pickle.dumps(found))
    assert (twin.content_filter, twin.completion, twin.request_id) == (found.content_filter, completion, "r1")


def test_filter_error_without_categories() -> None:
    found = filter_error(ChatCompletion(choices=[Choice(finish_reason="content_filter")]), url="https://h.example/x")
    assert found is not None
    assert str(found) == "content safety cut the answer of https://h.example/x"
    assert (found.content_filter, found.categories) == (ContentFilterResults(), {})


def test_filter_error_of_a_later_choice() -> None:
    choices = [
        Choice(finish_reason="stop"),
        Choice(index=1, finish_reason="content_filter", content_filter_results=CUT),
    ]
    found = filter_error(ChatCompletion(choices=choices), url="u")
    assert found is not None
    assert found.content_filter.filtered == ("hate",)


@pytest.mark.parametrize(
    "completion",
    [
        pytest.param(ChatCompletion(), id="no choice"),
        pytest.param(ChatCompletion(choices=[Choice(finish_reason="stop")]), id="stop"),
        pytest.param(ChatCompletion(choices=[Choice(finish_reason="length", content_filter_results=CUT)]), id="length"),
        pytest.param(ChatCompletion(choices=[Choice()]), id="no reason"),
    ],
)
def test_no_filter_error(completion: ChatCompletion) -> None:
    assert filter_error(completion, url="https://h.example") is None


def test_the_filter_of_a_refused_prompt_has_the_one_shape() -> None:
    body = {"error": {"code": "content_filter", "message": "no", "innererror": {"content_filter_result": CUT}}}
    found = error_from(status=400, headers={}, body=as_bytes(body), url="https://h.example/v1")
    assert isinstance(found, ContentFilterError)
    assert found.content_filter == ContentFilterResults(CUT)
    assert found.completion is None


def test_choices_come_in_their_order() -> None:
    rows = [{"index": 1, "message": {"content": "second"}}, {"index": 0, "message": {"content": "first"}}]
    whole = completion_from(
        status=200, headers={}, body=json.dumps({"choices": rows}).encode(), url="https://h.example"
    )
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert whole.text == "first"


def test_calls_without_an_id_of_their_own_get_one() -> None:
    calls = [{"id": name, "function": {"name": "f", "arguments": "{}"}} for name in ("", None, "a", "a", "call_0")]
    body = json.dumps({"choices": [{"message": {"tool_calls": calls}}]}).encode()
    whole = completion_from(status=200, headers={}, body=body, url="https://h.example")
    assert [call.id for call in whole.tool_calls] == ["call_1", "call_2", "a", "call_3", "call_0"]


@pytest.mark.parametrize("body", [b"{}", b'{"object": "list", "data": []}'])
def test_any_json_is_no_description_of_a_model(body: bytes) -> None:
    with pytest.raises(InvalidResponseError, match="no description of a model"):
        model_info_from(status=200, headers={}, body=body, url="https://h.example/info")


def test_a_filter_error_repeats_no_secret() -> None:
    whole = ChatCompletion(choices=[Choice(finish_reason="CONTENT_FILTER")])
    whole.meta = ResponseMeta(headers={"x-echo": "key secret-7 is fine"})
    error = filter_error(whole, url="https://h.example/v1?key=secret-7", secrets=("secret-7",))
    assert error is not None
    assert error.headers == {"x-echo": "key [secret] is fine"}
    assert "secret-7" not in str(error)


def test_a_blocklist_that_matched_is_named() -> None:
    inner = {"content_filter_result": {"custom_blocklists": [{"id": "x", "filtered": True}]}}
    body = json.dumps({"error": {"code": "content_filter", "message": "no", "innererror": inner}}).encode()
    error = error_from(status=400, headers={}, body=body, url="https://h.example")
    assert "refused the prompt for custom_blocklists" in str(error)


def test_a_422_names_the_model() -> None:
    body = b'{"status": 422, "detail": {"loc": ["body", "seed"], "input": 3}, "message": "invalid"}'
    error = error_from(status=422, headers={}, body=body, url="https://h.example/models/chat/completions", model="mini")
    assert error.param == "seed"
    assert "the model 'mini' does not take the parameter" in str(error)


@pytest.mark.parametrize(
    "path", ["/models/chat/completions", "/models/embeddings", "/openai/deployments/d/chat/completions"]
)
def test_a_404_of_an_older_route_points_to_the_newer_one(path: str) -> None:
    error = error_from(status=404, headers={}, body=b"{}", url=f"https://r.services.ai.azure.com{path}")
    assert "/openai/v1 of the same host is its successor" in str(error)


def test_a_404_of_the_newer_route_does_not() -> None:
    error = error_from(status=404, headers={}, body=b"{}", url="https://h.example/openai/v1/chat/completions")
    assert "successor" not in str(error)


# ---------------------------------------------------------------------------------------------------------------------
# Bounds


def test_choices_and_tool_calls_are_bounded() -> None:
    def body(choices: int, calls: int) -> bytes:
        message = {"content": "a", "tool_calls": [{"id": f"c{n}", "function": {"name": "f"}} for n in range(calls)]}
        return as_bytes({"choices": [{"index": n, "message": message} for n in range(choices)]})

    def read(data: bytes) -> ChatCompletion:
        limits = Limits(max_choices=3, max_tool_calls=2)
        return completion_from(status=200, headers={}, body=data, url=URL, limits=limits)

    assert len(read(body(3, 2)).choices) == 3
    with pytest.raises(InvalidResponseError, match=r"with 4 choices \(max_choices is 3\)"):
        read(body(4, 2))
    with pytest.raises(InvalidResponseError, match=r"with 3 tool calls \(max_tool_calls is 2\)"):
        read(body(1, 3))


@pytest.mark.parametrize("read", [completion_from, embeddings_from])
def test_values_of_a_large_body_are_bounded(read: Any) -> None:
    body = b'{"choices":[],"data":[],"x":[' + b"{}," * 100_000 + b"{}]}"
    with pytest.raises(InvalidResponseError, match=r"over 1,000 values.*max_body_values") as caught:
        read(status=200, headers={}, body=body, url=URL, limits=Limits(max_body_values=1000))
    assert len(str(caught.value)) < 2048


def test_only_the_head_of_an_error_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(text: str, secrets: Any) -> str:
        seen.append(len(text))
        return redact(text, secrets)

    monkeypatch.setattr("inference_async.wire.response.redact", counted)
    error = error_from(status=500, headers={}, body=b"sorry " * 1_000_000, url=URL, secrets=("0123456789abcdef",))
    assert error.body is not None
    assert len(error.body) <= 65_536
    assert max(seen) <= 66_000


# ---------------------------------------------------------------------------------------------------------------------
# The words of errors, in full

OVER: Final = (
    "with JSON of over 1,000 values, which is not read (max_body_values bounds the values, the depth is fixed)"
)
NO_ANSWERS: Final[dict[str, tuple[Any, bytes, str, str]]] = {
    "completion": (completion_from, b"[]", "with JSON that is no chat completion", "chat completion"),
    "completion of nothing": (completion_from, b'{"choices":[]}', "with JSON without a choice", "chat completion"),
    "completion of an empty choice": (
        completion_from,
        b'{"choices":[{}]}',
        "with a choice without a message",
        "chat completion",
    ),
    "completion of many values": (
        completion_from,
        b'{"choices":[{"message":{"content":"hi"}}],"prompt_filter_results":[%b{}]}' % (b"{}," * 100_000),
        OVER,
        "chat completion",
    ),
    "completion of many choices": (
        completion_from,
        b'{"choices":[%b{"message":{"content":"hi"}}]}' % (b'{"message":{"content":"hi"}},' * 128),
        "with 129 choices (max_choices is 128)",
        "chat completion",
    ),
    "embeddings": (embeddings_from, b"[]", "with JSON that is no list of embeddings", "list of embeddings"),
    "embeddings of many values": (
        embeddings_from,
        b'{"data":[{"index":0,"embedding":[%b0]}]}' % (b"0," * 140_000),
        OVER,
        "list of embeddings",
    ),
    "model": (model_info_from, b"{}", "with JSON that is no description of a model", "description of a model"),
    "model in a list": (
        model_info_from,
        b"[]",
        "with JSON that is no description of a model",
        "description of a model",
    ),
    "model of many values": (
        model_info_from,
        b'{"x":[%b{}]}' % (b"{}," * 1_048_576),
        OVER.replace("1,000", "1,048,576"),
        "description of a model",
    ),
}


@pytest.mark.parametrize(("read", "body", "what", "expected"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_answer_in_full(read: Any, body: bytes, what: str, expected: str) -> None:
    bounds = {} if read is model_info_from else {"limits": Limits(max_body_values=1000)}
    with pytest.raises(InvalidResponseError) as caught:
        read(status=203, headers={"content-type": "text/x"}, body=body, url=URL, **bounds)
    shown = excerpt(body)
    assert str(caught.value) == (
        f"got 203 from {URL} {what}, labelled text/x: {shown}; expected a {expected}: is this the address of the API?"
    )
    assert caught.value.status == 203
    assert caught.value.body == excerpt(body, 2048)
    assert len(shown) <= 200


def test_nothing_at_all_in_full() -> None:
    error = not_an_answer("nothing", status=200, headers={}, body=b"", url=URL)
    assert str(error) == (
        f"got 200 from {URL} with nothing, labelled no content type: (empty); "
        "expected a chat completion: is this the address of the API?"
    )
    assert error.body == "(empty)"


AGAIN: Final = "; the fault is the service's: try again later"
FULLY: Final[dict[str, tuple[int, Any, str]]] = {
    "nothing": (400, b"", " without a reason"),
    "a code that only repeats the status": (500, {"error": {"message": "m", "code": 500}}, f": m{AGAIN}"),
    "another code": (500, {"error": {"message": "m", "code": 1000}}, f": m (code 1000){AGAIN}"),
    "a byte order mark": (400, b'\xef\xbb\xbf{"message":"m"}', ": m"),
    "msg": (400, {"msg": "words"}, ": words"),
    "detail in brackets": (400, {"message": "Unknown model X. ", "detail": "why"}, ": Unknown model X (why)"),
    "detail that was said": (400, {"message": "no model x", "detail": "model x"}, ": no model x"),
    "detail without a place": (400, {"message": "m", "detail": {"message": "inner"}}, ": m (inner)"),
    "details": (400, {"detail": [{"msg": "a"}, {"msg": "b"}]}, ": a; b"),
    "an input that is no plain value": (
        400,
        {"message": "m", "detail": {"loc": ["body", "stop"], "input": [1, 2]}},
        ": m (stop)",
    ),
    "an input that is the prompt": (
        400,
        {"message": "m", "detail": {"loc": ["body", "messages", 0, "content"], "input": "my secret"}},
        ": m (messages.0.content)",
    ),
    "an error in its message": (400, {"message": "  " + json.dumps({"message": "inner"})}, ": inner"),
    "an error in a message in a message": (
        400,
        {"message": json.dumps({"message": json.dumps({"message": "deep"})})},
        ': {"message": "deep"}',
    ),
    "the model": (
        422,
        {"message": "m"},
        ": m; this model does not take the parameter, or not that value: mend it, leave it out, or use another model",
    ),
    "extra parameters": (
        400,
        {"message": "Extra parameters are not allowed"},
        (
            ": Extra parameters are not allowed; extra_mode='pass-through' hands them to the model, "
            "extra_mode='drop' leaves them out"
        ),
    ),
    "no model": (
        400,
        {"error": {"code": "no_model_name", "message": "m"}},
        ": m (code no_model_name); name the deployment with model=, for the call or for the client",
    ),
    "refused": (
        400,
        {"error": {"code": "content_filter", "message": "m"}},
        ": m (code content_filter); content safety refused the prompt",
    ),
    "refused for two reasons": (
        400,
        {
            "error": {
                "message": "m",
                "content_filter_result": {"hate": {"filtered": True}, "violence": {"filtered": True}},
            }
        },
        ": m; content safety refused the prompt for hate, violence",
    ),
    "a redirect": (
        300,
        {"message": "m", "status": 500},
        (
            ", a redirect to no host at all: m; redirects are not followed, so that the key and the prompt stay with "
            "one host: check the endpoint's URL"
        ),
    ),
}


@pytest.mark.parametrize(("status", "body", "words"), FULLY.values(), ids=FULLY)
def test_an_error_in_full(status: int, body: Any, words: str) -> None:
    assert str(error(body, status)) == f"got {status} from {URL}{words}"


def test_a_call_without_a_credential_in_full() -> None:
    assert str(error({"message": "m"}, 401, secrets=())) == (
        f"got 401 from {URL}: m; no credential was sent: pass one as credential="
    )


def test_a_redirect_is_named_by_its_host_alone() -> None:
    words = str(error(b"", 302, {"location": "https://user:password@other.example/path?key=k"}))
    assert words == (
        f"got 302 from {URL}, a redirect to other.example; redirects are not followed, so that the key and the prompt "
        "stay with one host: check the endpoint's URL"
    )


@pytest.mark.parametrize(
    ("location", "host"),
    [
        pytest.param("/login", "h.example:8443", id="a path"),
        pytest.param("login?key=k", "h.example:8443", id="a relative path"),
        pytest.param("//other.example/login", "other.example", id="no scheme"),
        pytest.param("http://h.example:80", "h.example:80", id="a port"),
        pytest.param("https://o.example\x07bell/", "o.example bell", id="control characters"),
        pytest.param(f"https://{'o' * 300}/", f"{'o' * 199}\u2026", id="a long name"),
        pytest.param("mailto:me", "no host at all", id="no address of a host"),
        pytest.param("http://[bad", "no host at all", id="rubbish"),
        pytest.param("", "no host at all", id="empty"),
        pytest.param(None, "no host at all", id="none"),
    ],
)
def test_where_a_redirect_leads(location: str | None, host: str) -> None:
    url = "https://h.example:8443/v1/chat/completions"
    found = error(b"", 308, {} if location is None else {"location": location}, url)
    assert str(found).startswith(f"got 308 from {url}, a redirect to {host}; ")


@pytest.mark.parametrize("status", [299, 400])
def test_other_statuses_are_no_redirects(status: int) -> None:
    found = error(b"", status, {"location": "https://other.example/"})
    assert str(found) == f"got {status} from {URL} without a reason"


USED_UP: Final = (
    "; the quota is used up, and waiting does not help, so this is not sent again: raise the quota in the portal, or "
    "use another deployment"
)
WAITS: Final = "; the service asks to wait 7 s"


@pytest.mark.parametrize(
    ("status", "body", "headers", "advice"),
    [
        pytest.param(429, {"code": "insufficient_quota"}, {}, USED_UP, id="code"),
        pytest.param(429, {"type": "insufficient_quota"}, {}, USED_UP, id="type"),
        pytest.param(429, {"code": "QuotaExceeded"}, {"retry-after": "7"}, USED_UP, id="with a time"),
        pytest.param(429, {"code": "QuotaExceeded"}, {"x-should-retry": "false"}, USED_UP, id="it says so"),
        pytest.param(
            429,
            {"code": "QuotaExceeded"},
            {"x-should-retry": "true", "retry-after": "7"},
            WAITS,
            id="it says no",
        ),
        pytest.param(429, {"code": "rate_limit_exceeded"}, {"retry-after": "7"}, WAITS, id="a quota that comes back"),
        pytest.param(503, {"code": "insufficient_quota"}, {}, AGAIN, id="no 429"),
    ],
)
def test_a_quota_that_is_used_up(status: int, body: dict[str, str], headers: dict[str, str], advice: str) -> None:
    found = error({"error": {"message": "m", **body}}, status, headers)
    assert str(found).endswith(advice)
    assert found.retryable is (advice is not USED_UP)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        pytest.param(
            "<html><head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad\n Gateway</h1></center>"
            "<hr><center>nginx</center></body></html>",
            "502 Bad Gateway nginx",
            id="the title is the heading",
        ),
        pytest.param("<title>a</title><h1>A</h1><p>a b</p>", "a A a b", id="another heading"),
        pytest.param("<title>a</title><p>b</p><p>b</p>", "a b b", id="what is said twice in the text"),
        pytest.param("<title></title><h1>a</h1><h1>a</h1>", "a", id="an empty title"),
        pytest.param("<SCRIPT>a</SCRIPT>b<style>b</style>c", "b c", id="scripts and styles"),
        pytest.param("a  a\na", "a a a", id="plain text"),
        pytest.param("<hr>\n<hr>", "", id="nothing"),
        pytest.param("<p>a</p>" + "<p>" * 4_000 + "b", "a", id="the rest of a long page"),
    ],
)
def test_what_a_page_shows(page: str, shown: str) -> None:
    assert describe_error(page.encode()).message == shown
    assert error(page.encode(), 502).detail == shown


@pytest.mark.parametrize(
    ("named", "status"), [(399, 200), (400, 400), ("404", 404), (599, 599), (600, 200), ("5xx", 200), ("0500", 200)]
)
@pytest.mark.parametrize("beside", [True, False], ids=["beside the error", "in it"])
def test_the_status_that_a_success_names(named: Any, status: int, *, beside: bool) -> None:
    inner = {"message": "m"} if beside else {"message": "m", "status": named}
    assert error({"error": inner, "status": named if beside else None}, 200).status == status


def test_type_and_param_are_clean_and_bounded() -> None:
    refused = error({"error": {"message": "m", "type": "a\nb", "param": "c" * 300}})
    assert (refused.type, refused.param) == ("a b", "c" * 199 + "…")


def test_a_byte_order_mark_is_no_part_of_an_answer() -> None:
    mark = b"\xef\xbb\xbf"
    assert complete(mark + json.dumps(ANSWER).encode()).text == "hi"
    assert embeddings(mark + json.dumps({"data": [VECTOR]}).encode()).data
    assert model_info(mark + b'{"model_name":"m"}').model_name == "m"


# ---------------------------------------------------------------------------------------------------------------------
# Secrets

KEYS: Final = (
    "0123456789abcdef0123456789ABCDEF",
    "eyJ0eXAi.eyJhdWQi-_x/y+z==" + "Zm9v" * 300,
    'pa"ss\\w/ö+rd%41 \f\t🙂',
)


@pytest.fixture(autouse=True)
def _no_pattern_of_an_earlier_test() -> None:
    _pattern.cache_clear()


def unicode_escaped(text: str) -> str:
    units = text.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


WHOLE_FORMS: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON, not ASCII": lambda key: json.dumps(key, ensure_ascii=False)[1:-1],
    "JSON with slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON, all escaped": unicode_escaped,
    "JSON, all escaped in capitals": lambda key: unicode_escaped(key).upper().replace("\\U", "\\u"),
    "percent": lambda key: quote(key, safe=""),
    "percent, all": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "percent twice": lambda key: quote(quote(key, safe=""), safe=""),
}
BASE64_FORMS: Final[dict[str, Callable[[str], str]]] = {
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 for addresses": lambda key: urlsafe_b64encode(key.encode()).decode(),
    "base64, percent": lambda key: quote(b64encode(key.encode()), safe=""),
    "base64, slashes escaped": lambda key: b64encode(key.encode()).decode().replace("/", "\\/"),
    "one before": lambda key: b64encode(b":" + key.encode()).decode(),
    "two before": lambda key: b64encode(b"u:" + key.encode() + b"@").decode(),
    "three before": lambda key: urlsafe_b64encode(b"me:" + key.encode() + b"@@").decode(),
}


@pytest.mark.parametrize("key", KEYS, ids=["key", "token", "odd"])
@pytest.mark.parametrize("form", WHOLE_FORMS.values(), ids=WHOLE_FORMS)
def test_a_secret_is_masked_whole(form: Callable[[str], str], key: str) -> None:
    assert redact(f"before {form(key)} after", [key]) == "before [secret] after"


@pytest.mark.parametrize("key", KEYS, ids=["key", "token", "odd"])
@pytest.mark.parametrize("form", BASE64_FORMS.values(), ids=BASE64_FORMS)
def test_a_secret_is_masked_in_base64(form: Callable[[str], str], key: str) -> None:
    said = redact(f"before {form(key)} after", [key])
    # The characters at the two ends hold bits of the neighbours too.
    assert re.fullmatch(r"before [\w=%-]{0,4}\[secret\][\w=%+/\\-]{0,9} after", said), said


@pytest.mark.parametrize("encoding", [b64encode, urlsafe_b64encode], ids=["usual", "for addresses"])
@pytest.mark.parametrize("key", ["s3cr3t", "pa55w0rd", ">>>>>>>?", KEYS[0]])
def test_all_that_base64_tells_of_a_secret_is_masked(key: str, encoding: Callable[[bytes], bytes]) -> None:
    """Wherever it stands: but for the character at each end that holds bits of a neighbour too."""
    for before in range(7):
        for after in range(4):
            said = encoding(b":" * before + key.encode() + b"@" * after).decode()
            first, end = -(-before * 8 // 6), (before + len(key)) * 8 // 6
            assert redact(said, [key]) == f"{said[:first]}[secret]{said[end:]}"


def test_all_forms_of_a_secret_beside_each_other_are_masked() -> None:
    key = KEYS[0]
    said = " ".join([key, *(b64encode(b":" * before + key.encode() + b":::").decode() for before in range(3))])
    assert redact(said, [key]).count("[secret]") == 4


def test_json_in_json_is_masked() -> None:
    key = 'pa"ss/word'
    assert redact(json.dumps(json.dumps(key)), [key]) == '"\\"[secret]\\""'


def test_a_long_secret_takes_no_more_than_its_length() -> None:
    key = KEYS[1]
    assert redact(f'{{"token":"{key}","next":"{key}/tail"}}', [key]) == '{"token":"[secret]","next":"[secret]/tail"}'


def test_the_pattern_of_a_token_is_no_larger_than_that_of_a_key() -> None:
    token, _ = _pattern("Zm9v" * 1000)
    key, _ = _pattern("Zm9v" * 10)
    assert len(token.pattern) < 2 * len(key.pattern)


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        pytest.param("my abcdef!", ["abcdef"], "my [secret]!", id="the shortest"),
        pytest.param("my abcde!", ["abcde"], "my abcde!", id="too short to be one"),
        pytest.param("my abcdef!", [""], "my abcdef!", id="none"),
        pytest.param("my \ud800abcdef!", ["\ud800abcdef"], "my [secret]!", id="half of a surrogate pair"),
        pytest.param("abcdef ghijkl abcdef", ["ghijkl", "abcdef"], "[secret] [secret] [secret]", id="two"),
    ],
)
def test_what_is_a_secret(text: str, secrets: list[str], expected: str) -> None:
    assert redact(text, secrets) == expected


@pytest.mark.parametrize("form", [str, unicode_escaped], ids=["plain", "escaped"])
def test_wherever_the_head_ends_no_part_of_a_secret_is_left(form: Callable[[str], str]) -> None:
    key = "0123456789abcdef"
    escaped = form(key)
    for before in range(400):
        head = head_of(b"x" * before + escaped.encode() + b"y" * 1000, [key], 100)
        assert not any(escaped[at : at + 6] in head for at in range(len(escaped) - 5)), before
        assert set(head) <= set("xy[secret]")


@pytest.mark.parametrize(
    ("secrets", "length", "kept"),
    [
        pytest.param([], 100, 100, id="no secret, and all of it"),
        pytest.param([], 101, 100, id="no secret, one more"),
        pytest.param([], 500, 100, id="no secret, much more"),
        pytest.param(["abcdef"], 100, 100, id="all of it"),
        pytest.param(["abcdef"], 172, 172, id="all that was looked at"),  # 12 characters for each of the secret's
        pytest.param(["abcdef"], 173, 100, id="one more"),
        pytest.param(["abcdef", "abcdefgh"], 500, 100, id="the longest secret counts"),
    ],
)
def test_how_much_is_kept_of_a_body(secrets: list[str], length: int, kept: int) -> None:
    assert head_of(b"x" * length, secrets, 100) == "x" * kept


FORMS: Final = st.sampled_from([*WHOLE_FORMS.values(), *BASE64_FORMS.values()])


@settings(deadline=None, max_examples=60)  # each compiles a pattern of its own
@given(key=st.text(st.characters(codec="utf-8"), min_size=6, max_size=40), form=FORMS)
def test_any_secret_is_masked_in_any_form(key: str, form: Callable[[str], str]) -> None:
    assert "[secret]" in redact(f"<{form(key)}>", [key])
    assert key not in redact(f"{key} {key}", [key]) or key in "[secret] [secret]"


@settings(deadline=None, max_examples=25)
@given(before=st.integers(65_300, 66_400), form=st.sampled_from([WHOLE_FORMS["plain"], unicode_escaped]))
def test_no_part_of_a_secret_is_left_where_the_head_ends(before: int, form: Callable[[str], str]) -> None:
    key = KEYS[0].replace("x", "_")
    head = head_of(b"x" * before + form(key).encode() + b"y" * 1000, [key])
    kept = re.sub(r"\[(s(e(c(r(e(t)?)?)?)?)?)?$", "", head.replace("[secret]", ""))  # the mask may be cut itself
    assert set(kept) <= {"x", "y"}
    assert 65_000 < len(head) < 66_500


FORMED: Final = ["key-0123456789", "+/+/+/+/+/", "abc+defghijk", "a/b/c/d/e/f/g", "\u00e9\u00e9\u00e9-secret"]


@given(secret=st.sampled_from(FORMED), data=st.data())
@settings(max_examples=300)
def test_the_quick_look_misses_nothing_that_the_pattern_finds(secret: str, data: st.DataObject) -> None:
    encoded = [b64encode(bytes(before) + secret.encode()).decode() for before in range(3)]
    forms = [secret, *encoded, *(form.replace("+", "-").replace("/", "_") for form in (secret, *encoded))]
    cuts = st.sampled_from(forms).flatmap(lambda form: st.integers(0, 3).map(lambda at: form[at:]))
    text = "".join(data.draw(st.lists(cuts | st.sampled_from(["a", " ", "+", "=", "-"]), max_size=4)))
    assert redact(text, [secret]) == _pattern(secret)[0].sub("[secret]", text)
