"""What the head of an answer says: the quota, where it came from, and a body of any kind."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from inference_async.errors import InvalidResponseError
from inference_async.types import RateLimits, RawResponse, ResponseMeta

COUNTS = ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens")
RESETS = ("reset-requests", "reset-tokens")


def limits(**headers: str) -> RateLimits:
    return RateLimits.from_headers({f"x-ratelimit-{name.replace('_', '-')}": value for name, value in headers.items()})


def read(name: str, value: str) -> Any:
    """What one header is read as."""
    return getattr(RateLimits.from_headers({f"x-ratelimit-{name}": value}), name.replace("-", "_"))


def test_each_header_has_its_own_place() -> None:
    found = RateLimits.from_headers(
        {
            "x-ratelimit-limit-requests": "1",
            "x-ratelimit-limit-tokens": "2",
            "x-ratelimit-remaining-requests": "3",
            "x-ratelimit-remaining-tokens": "4",
            "x-ratelimit-reset-requests": "5",
            "x-ratelimit-reset-tokens": "6",
        }
    )
    assert found == RateLimits(
        limit_requests=1,
        limit_tokens=2,
        remaining_requests=3,
        remaining_tokens=4,
        reset_requests=5.0,
        reset_tokens=6.0,
    )


def test_no_headers_say_nothing() -> None:
    assert RateLimits.from_headers({}) == RateLimits()
    assert RateLimits.from_headers({"remaining-requests": "5", "x-request-id": "7"}) == RateLimits()


def test_only_what_remains_as_azure_often_sends() -> None:
    found = limits(remaining_requests="119", remaining_tokens="119000")
    assert found == RateLimits(remaining_requests=119, remaining_tokens=119000)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("1", 1, id="one"),
        pytest.param("120000", 120000, id="usual"),
        pytest.param(" 7 ", 7, id="blanks around"),
        pytest.param("007", 7, id="leading zeros"),
        pytest.param("9" * 32, int("9" * 32), id="32 digits"),
        pytest.param("9" * 33, None, id="33 digits"),
        pytest.param("9" * 10_000, None, id="more digits than python converts"),
        pytest.param("-1", None, id="-1"),
        pytest.param("", None, id="empty"),
        pytest.param(" ", None, id="blank"),
        pytest.param("many", None, id="a word"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param("1e3", None, id="an exponent"),
        pytest.param("1_000", None, id="an underscore"),
        pytest.param("+5", None, id="a sign"),
        pytest.param("0x10", None, id="hexadecimal"),
        pytest.param("²", None, id="a digit that int refuses"),
        pytest.param("٣", None, id="a digit of another script"),
    ],
)
def test_count(name: str, value: str, expected: int | None) -> None:
    assert read(name, value) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("limit-requests", None), ("limit-tokens", None), ("remaining-requests", 0), ("remaining-tokens", 0)],
)
def test_zero_is_no_limit_but_may_remain(name: str, expected: int | None) -> None:
    assert read(name, "0") == expected


@pytest.mark.parametrize("name", RESETS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("17ms", 0.017, id="milliseconds"),
        pytest.param("6m0s", 360.0, id="minutes and seconds"),
        pytest.param("1h2m3s", 3723.0, id="hours"),
        pytest.param("1s500ms", 1.5, id="seconds and milliseconds"),
        pytest.param("2m", 120.0, id="minutes, not milliseconds"),
        pytest.param("1.5s", 1.5, id="a fraction with a unit"),
        pytest.param("6M0S", 360.0, id="upper case"),
        pytest.param("30", 30.0, id="bare seconds"),
        pytest.param("0.25", 0.25, id="bare fraction"),
        pytest.param("0", 0.0, id="now"),
        pytest.param("0s", 0.0, id="now, with a unit"),
        pytest.param(" 1s ", 1.0, id="blanks around"),
        pytest.param("9" * 32, 1e32, id="32 digits"),
        pytest.param("9" * 33, None, id="33 digits"),
        pytest.param("9" * 10_000 + "s", None, id="huge"),
        pytest.param("-1", None, id="-1"),
        pytest.param("-1s", None, id="-1s"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="a word"),
        pytest.param("1s!", None, id="rubbish behind"),
        pytest.param("in 1s", None, id="rubbish before"),
        pytest.param("1m 3s", None, id="a blank between"),
        pytest.param("5d", None, id="an unknown unit"),
        pytest.param("ms", None, id="a unit alone"),
        pytest.param("1.", None, id="half a fraction"),
        pytest.param("nan", None, id="nan"),
        pytest.param("inf", None, id="infinity"),
        pytest.param("1e3", None, id="an exponent"),
        pytest.param("٣s", None, id="a digit of another script"),
    ],
)
def test_reset(name: str, value: str, expected: float | None) -> None:
    assert read(name, value) == (None if expected is None else pytest.approx(expected))


def test_one_bad_header_spoils_no_other() -> None:
    found = limits(limit_requests="-1", remaining_requests="5", reset_requests="?", reset_tokens="1s")
    assert found == RateLimits(remaining_requests=5, reset_tokens=1.0)


def test_meta_of_an_answer() -> None:
    meta = ResponseMeta(
        status=200,
        headers={
            "x-ratelimit-remaining-tokens": "9",
            "x-ms-region": "Sweden Central",
            "x-ms-deployment-name": "gpt-spill",
        },
    )
    assert meta.rate_limits == RateLimits(remaining_tokens=9)
    assert (meta.region, meta.deployment) == ("Sweden Central", "gpt-spill")


def test_meta_of_an_answer_that_says_nothing() -> None:
    meta = ResponseMeta()
    assert (meta.rate_limits, meta.region, meta.deployment) == (RateLimits(), None, None)


def raw(body: bytes, status: int = 200) -> RawResponse:
    return RawResponse(body=body, meta=ResponseMeta(status=status, request_id="r1"))


def test_raw_response() -> None:
    answer = raw(b'{"a": [1, null, "\xc3\xa9"]}', 201)
    assert (answer.status, answer.text) == (201, '{"a": [1, null, "é"]}')
    assert answer.json() == {"a": [1, None, "é"]}
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_raw_text_replaces_what_is_no_utf8() -> None:
    assert raw(b"a\xffb").text == "a�b"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"a": 1', b"{} {}", b'"\xff"', b"[" * 100_000, b"NaN"],
    ids=["empty", "page", "cut", "two values", "no utf-8", "too deep", "nan"],
)
def test_raw_body_that_is_no_json(body: bytes) -> None:
    with pytest.raises(InvalidResponseError, match="got 202 with a body that is not JSON") as caught:
        raw(body, 202).json()
    assert (caught.value.status, caught.value.request_id) == (202, "r1")
    assert len(caught.value.body) <= 2048
    assert caught.value.__suppress_context__


def test_raw_repr_shows_size_and_not_content() -> None:
    assert repr(raw(b"x" * 12_345, 204)) == "<RawResponse 204, 12,345 bytes>"
