"""Keywords of the retired SDK, in the terms of this package."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from inference_async import ConfigurationError, RetryPolicy, Timeouts, UnknownOptionError
from inference_async.compat.azure_ai_inference._settings import of_call, of_client


@pytest.mark.parametrize(
    ("given", "stream", "timeouts"),
    [
        ({}, False, None),
        ({"read_timeout": None}, False, None),
        ({"connection_timeout": 3}, True, Timeouts(connect=3)),
        ({"read_timeout": 5}, True, Timeouts(first_token=5, between_tokens=5)),
        ({"read_timeout": 5}, False, Timeouts(total=5)),
        ({"read_timeout": 5, "timeout": 9}, False, Timeouts(total=9)),
        ({"read_timeout": 5, "timeout": 9}, True, Timeouts(first_token=5, between_tokens=5, total=9)),
    ],
    ids=str,
)
def test_timeouts(given: dict[str, Any], timeouts: Timeouts | None, *, stream: bool) -> None:
    assert of_call(given, {}, stream=stream)["timeouts"] == timeouts


@pytest.mark.parametrize(
    ("given", "retries"),
    [
        ({}, None),
        ({"retry_total": 0}, RetryPolicy(retries=0)),
        ({"retry_backoff_factor": 0.1, "retry_backoff_max": 2}, RetryPolicy(backoff=0.1, max_backoff=2)),
    ],
    ids=str,
)
def test_retries(given: dict[str, Any], retries: RetryPolicy | None) -> None:
    assert of_call(given, {}, stream=False)["retries"] == retries
    assert of_call({}, given, stream=False)["retries"] == retries


def test_what_changes_nothing_is_taken() -> None:
    call = of_call({"logging_enable": True, "logging_body": True, "content_type": "application/json"}, {}, stream=False)
    assert call == {"headers": None, "timeouts": None, "retries": None}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("transport", "session="),
        ("raw_response_hook", "`meta`"),
        ("params", "query"),
        ("temprature", "none of those"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, words: str) -> None:
    with pytest.raises(UnknownOptionError, match=words) as caught:
        of_call({name: 1}, {}, stream=False)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("url", "given", "dialect", "query"),
    [
        ("https://n.services.ai.azure.com/models", {}, "models", "2024-05-01-preview"),
        ("https://n.services.ai.azure.com/models", {"api_version": "x"}, "models", "x"),
        ("https://n.services.ai.azure.com/openai/v1", {}, "openai-v1", None),
        ("https://n.eastus2.models.ai.azure.com", {}, "serverless", "2024-05-01-preview"),
        ("https://n.openai.azure.com/openai/deployments/d", {"api_version": "2024-06-01"}, "deployment", "2024-06-01"),
        ("https://gateway.example/llm", {}, "models", "2024-05-01-preview"),
        ("http://localhost:8000/v1", {}, "models", "2024-05-01-preview"),
    ],
)
def test_endpoints(url: str, given: dict[str, Any], dialect: str, query: str | None) -> None:
    endpoint = of_client(url, given).endpoint
    assert endpoint.dialect == dialect
    assert dict(endpoint.query).get("api-version") == query


def test_headers_scope_and_defaults() -> None:
    settings = of_client(
        "https://n.services.ai.azure.com/models",
        {
            "headers": {"x-a": "1"},
            "user_agent": "mine",
            "credential_scopes": ["scope"],
            "read_timeout": 3,
            "temperature": 0.1,
        },
    )
    assert settings.native["headers"] == {"x-a": "1", "user-agent": "mine"}
    assert settings.native["scope"] == "scope"
    assert settings.of_calls == {"read_timeout": 3}
    assert settings.rest == {"temperature": 0.1}


def test_proxies() -> None:
    url = "https://n.services.ai.azure.com/models"
    native = of_client(url, {"proxies": {"http": "http://one:1", "https": "http://two:2"}}).native
    assert (native["proxy"], native["trust_env"]) == ("http://two:2", False)
    assert (of_client(url, {}).native["proxy"], of_client(url, {}).native["trust_env"]) == (None, True)
    assert of_client(url, {"use_env_settings": False}).native["trust_env"] is False


def test_authorities(tmp_path: Path) -> None:
    url = "https://n.services.ai.azure.com/models"
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert isinstance(of_client(url, {"connection_verify": str(file)}).native["ssl"], ssl.SSLContext)
    assert of_client(url, {"connection_verify": True}).native["ssl"] is None
    with pytest.raises(ConfigurationError, match="connection_verify=False"):
        of_client(url, {"connection_verify": False})


def test_one_scope() -> None:
    with pytest.raises(ConfigurationError, match="got 2 credential_scopes"):
        of_client("https://n.services.ai.azure.com/models", {"credential_scopes": ["a", "b"]})
