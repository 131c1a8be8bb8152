"""Challenges as services, gateways and the RFC word them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.wire.challenge import claims_in

CLAIMS = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1700000000"}, "say": "ÿþ~????>>>>"}})
URLSAFE = base64.urlsafe_b64encode(CLAIMS.encode()).decode()
STANDARD = base64.b64encode(CLAIMS.encode()).decode()
ASKED = 'error="insufficient_claims"'
ENTRA = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    f'client_id="00000003-0000-0000-c000-000000000000", {ASKED}, claims="{URLSAFE}"'
)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(ENTRA, id="as Entra words it"),
        pytest.param(f'Bearer {ASKED}, claims="{URLSAFE.rstrip("=")}"', id="without padding"),
        pytest.param(f'Bearer {ASKED}, claims="{STANDARD}"', id="standard alphabet"),
        pytest.param(f'Bearer {ASKED}, claims="{STANDARD.rstrip("=")}"', id="standard alphabet without padding"),
        pytest.param(f"Bearer {ASKED}, claims={URLSAFE}", id="unquoted, with padding"),
        pytest.param(f'bearer CLAIMS="{URLSAFE}",Error="insufficient_claims"', id="other case, other order, no space"),
        pytest.param(f'Bearer {ASKED} claims="{URLSAFE}"', id="no comma"),
        pytest.param(f'Bearer {ASKED} ,, claims = "{URLSAFE}" ,', id="odd white space and empty items"),
        pytest.param(f'Basic realm="a, Bearer error=\\"x\\"", {ENTRA}', id="after Basic with a comma in quotes"),
        pytest.param(f'Negotiate, Basic, NTLM YWJj==, {ENTRA}, Digest nonce="x"', id="among others"),
        pytest.param(f"Negotiate error, {ENTRA}", id="after a token68 that looks like a name"),
        pytest.param(f'Bearer error="invalid_token", {ENTRA}', id="the second bearer"),
        pytest.param(f'Bearer error="insufficient\\_claims", claims="{URLSAFE}"', id="an escape for no need"),
        pytest.param(f'Bearer error_description="\\"claims=\\"", {ASKED}, claims="{URLSAFE}"', id="escaped quotes"),
    ],
)
def test_a_challenge(header: str) -> None:
    assert set("+/") < set(STANDARD), "the two alphabets differ in these"
    assert claims_in(header) == CLAIMS


def test_claims_of_any_length() -> None:
    for length in range(24):
        claims = json.dumps({"a": "x" * length})
        assert claims_in(f'Bearer {ASKED}, claims="{b64(claims.encode()).rstrip("=")}"') == claims


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="bare"),
        pytest.param('Bearer realm="", error="invalid_token"', id="another error"),
        pytest.param(f'Bearer error="invalid_token", claims="{URLSAFE}"', id="claims with another error"),
        pytest.param(f'Bearer claims="{URLSAFE}"', id="claims without an error"),
        pytest.param(f"Bearer {ASKED}", id="no claims"),
        pytest.param(f'Bearer {ASKED}, claims=""', id="empty claims"),
        pytest.param(f'Basic {ASKED}, claims="{URLSAFE}"', id="another scheme"),
        pytest.param(f'Bearer {ASKED}, Basic claims="{URLSAFE}"', id="the claims of another scheme"),
        pytest.param(f'Bearer, Basic, {ASKED}, claims="{URLSAFE}"', id="the claims of another scheme, which is bare"),
        pytest.param(f"YWJj==, {ENTRA}", id="a token68 before any scheme"),
        pytest.param(f'Digest nonce="x", YWJj==, {ENTRA}', id="a token68 after a parameter"),
        pytest.param(f"NTLM YWJj==, YWJj==, {ENTRA}", id="a token68 after another"),
        pytest.param(f'Basic realm="Bearer {ASKED.replace(chr(34), chr(39))}, claims={URLSAFE}"', id="inside quotes"),
        pytest.param(f'{ASKED}, claims="{URLSAFE}"', id="no scheme"),
        pytest.param(f'Bearer {ASKED}, claims="{URLSAFE}', id="an open quote"),
        pytest.param(f'{ENTRA}, "', id="nonsense after it"),
        pytest.param(f'Bearer {ASKED}, claims="%%%"', id="no base64"),
        pytest.param(f'Bearer {ASKED}, claims="abcde"', id="base64 of no length"),
        pytest.param(f'Bearer {ASKED}, claims="{b64(b"text")}"', id="no JSON"),
        pytest.param(f'Bearer {ASKED}, claims="{b64(b"[1]")}"', id="JSON that is no object"),
        pytest.param(f'Bearer {ASKED}, claims="{b64(bytes([0x7B, 0xFF, 0x7D]))}"', id="no UTF-8"),
        pytest.param(f'Bearer {ASKED}, claims="{b64(b"[" * 100_000)}"', id="very deep"),
    ],
)
def test_no_challenge(header: str) -> None:
    assert claims_in(header) is None


@given(st.text(alphabet=st.sampled_from('Bearer ,="\\claims\t+/-_é'), max_size=80))
def test_nonsense_is_no_challenge_and_no_error(header: str) -> None:
    assert claims_in(header) is None


@given(st.dictionaries(st.text(), st.text()))
def test_any_claims_come_through(claims: dict[str, str]) -> None:
    text = json.dumps(claims)
    assert claims_in(f'Bearer {ASKED}, claims="{b64(text.encode()).rstrip("=")}"') == text
