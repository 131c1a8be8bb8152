"""A pasted URL to where calls go and how to speak there."""

from __future__ import annotations

from typing import Any, Final

import pytest

from inference_async.errors import ConfigurationError
from inference_async.types import UNSET
from inference_async.wire.endpoints import (
    DEFAULT_API_VERSION,
    Endpoint,
    Settings,
    settings_for,
    settings_from,
    variables_of,
)

R: Final = "https://r.services.ai.azure.com"
AOAI: Final = "https://r.openai.azure.com"
CHAT: Final = "chat/completions"

PASTED: Final[dict[str, tuple[str, str, str]]] = {
    # URL as pasted, dialect, address of the chat operation
    "v1": (f"{R}/openai/v1", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 slash": (f"{R}/openai/v1/", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "a name in capitals": ("https://h.example/XX/chat/completions", "generic", f"https://h.example/XX/{CHAT}"),
    "a last name in capitals": ("https://h.example/XX", "generic", f"https://h.example/XX/{CHAT}"),
    "v1 slashes": (f"{R}/openai/v1//", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 other host": (f"{AOAI}/openai/v1/", "openai-v1", f"{AOAI}/openai/v1/{CHAT}"),
    "v1 responses": (f"{R}/openai/v1/responses", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 chat": (f"{R}/openai/v1/chat/completions", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 chat slash": (f"{R}/openai/v1/chat/completions/", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 embeddings": (f"{R}/openai/v1/embeddings", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 completions": (f"{R}/openai/v1/completions", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 images": (f"{R}/openai/v1/images/generations", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 speech": (f"{R}/openai/v1/audio/speech", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 transcriptions": (f"{R}/openai/v1/audio/transcriptions", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 half an operation": (f"{R}/openai/v1/chat", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 listing": (f"{R}/openai/v1/models/", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 listing, slashes": (f"{R}/openai/v1//models", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 empty version": (f"{R}/openai/v1?api-version=", "openai-v1", f"{R}/openai/v1/{CHAT}"),
    "v1 preview": (
        f"{R}/openai/v1/?api-version=preview",
        "openai-v1",
        f"{R}/openai/v1/{CHAT}?api-version=preview",
    ),
    "v1 v1": (f"{R}/openai/v1/?api-version=v1", "openai-v1", f"{R}/openai/v1/{CHAT}?api-version=v1"),
    "v1 behind a gateway": (
        "https://gw.example/a/openai/v1",
        "openai-v1",
        f"https://gw.example/a/openai/v1/{CHAT}",
    ),
    "models": (f"{R}/models", "models", f"{R}/models/{CHAT}?api-version=2024-05-01-preview"),
    "models slash": (f"{R}/models/", "models", f"{R}/models/{CHAT}?api-version=2024-05-01-preview"),
    "models chat with version": (
        f"{R}/models/chat/completions?api-version=2025-04-01",
        "models",
        f"{R}/models/{CHAT}?api-version=2025-04-01",
    ),
    "models info": (f"{R}/models/info", "models", f"{R}/models/{CHAT}?api-version=2024-05-01-preview"),
    "models image embeddings": (
        f"{R}/models/images/embeddings",
        "models",
        f"{R}/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "models half an operation": (f"{R}/models/chat", "models", f"{R}/models/{CHAT}?api-version=2024-05-01-preview"),
    "models of a gateway": (
        "https://gw.example/models",
        "models",
        f"https://gw.example/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "models below a path of a gateway": (
        "https://gw.example/team/models",
        "models",
        f"https://gw.example/team/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "models empty version": (
        f"{R}/models?api-version=",
        "models",
        f"{R}/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "models, other query kept": (
        f"{R}/models?tenant=a%20b&api-version=x",
        "models",
        f"{R}/models/{CHAT}?api-version=x&tenant=a%20b",
    ),
    "generic": ("http://localhost:8000/v1", "generic", f"http://localhost:8000/v1/{CHAT}"),
    "generic host only": ("http://localhost:8000", "generic", f"http://localhost:8000/{CHAT}"),
    "generic chat": ("https://h.example/v1/chat/completions", "generic", f"https://h.example/v1/{CHAT}"),
    "generic half an operation": ("https://h.example/v1/chat", "generic", f"https://h.example/v1/{CHAT}"),
    "generic, a path of its own": ("https://h.example/team/chat", "generic", f"https://h.example/team/chat/{CHAT}"),
    "generic, another path of its own": ("https://h.example/score", "generic", f"https://h.example/score/{CHAT}"),
    "generic listing": ("https://api.together.xyz/v1/models", "generic", f"https://api.together.xyz/v1/{CHAT}"),
    "generic listing, this machine": (
        "http://localhost:8000/v1/models",
        "generic",
        f"http://localhost:8000/v1/{CHAT}",
    ),
    "generic version kept": (
        "https://h.example/v1?api-version=2024-10-21",
        "generic",
        f"https://h.example/v1/{CHAT}?api-version=2024-10-21",
    ),
    "generic query kept": ("https://h.example/v1?a=1&b=", "generic", f"https://h.example/v1/{CHAT}?a=1&b="),
    "generic query, a name twice": (
        "https://h.example/v1?tag=a&tag=b",
        "generic",
        f"https://h.example/v1/{CHAT}?tag=a&tag=b",
    ),
    "fragment dropped": ("https://h.example/v1#top", "generic", f"https://h.example/v1/{CHAT}"),
    "white space around": ("  https://h.example/v1\n", "generic", f"https://h.example/v1/{CHAT}"),
    "encoded slash survives": ("https://h.example/a%2Fb/v1", "generic", f"https://h.example/a%2Fb/v1/{CHAT}"),
    "dots survive": ("https://h.example/gpt-4.1/v1", "generic", f"https://h.example/gpt-4.1/v1/{CHAT}"),
    "upper case scheme": ("HTTPS://h.example/v1", "generic", f"https://h.example/v1/{CHAT}"),
    "serverless": (
        "https://d.eastus2.models.ai.azure.com",
        "serverless",
        f"https://d.eastus2.models.ai.azure.com/{CHAT}?api-version=2024-05-01-preview",
    ),
    "serverless with v1": (
        "https://d.eastus2.models.ai.azure.com/v1/chat/completions",
        "serverless",
        f"https://d.eastus2.models.ai.azure.com/v1/{CHAT}?api-version=2024-05-01-preview",
    ),
    "serverless half an operation": (
        "https://d.eastus2.models.ai.azure.com/chat",
        "serverless",
        f"https://d.eastus2.models.ai.azure.com/{CHAT}?api-version=2024-05-01-preview",
    ),
    "serverless, older host": (
        "https://d.eastus2.inference.ai.azure.com/v1",
        "serverless",
        f"https://d.eastus2.inference.ai.azure.com/v1/{CHAT}?api-version=2024-05-01-preview",
    ),
    "managed": (
        "https://e.westeurope.inference.ml.azure.com/",
        "managed",
        f"https://e.westeurope.inference.ml.azure.com/{CHAT}?api-version=2024-05-01-preview",
    ),
    "managed score": (
        "https://e.westus.inference.ml.azure.com/score",
        "managed",
        f"https://e.westus.inference.ml.azure.com/{CHAT}?api-version=2024-05-01-preview",
    ),
    "managed info": (
        "https://e.westeurope.inference.ml.azure.com/info",
        "managed",
        f"https://e.westeurope.inference.ml.azure.com/{CHAT}?api-version=2024-05-01-preview",
    ),
    "deployment": (
        f"{AOAI}/openai/deployments/gpt-4.1",
        "deployment",
        f"{AOAI}/openai/deployments/gpt-4.1/{CHAT}?api-version=2024-10-21",
    ),
    "deployment, pasted whole": (
        f"{AOAI}/openai/deployments/gpt-4.1/chat/completions?api-version=2025-01-01-preview",
        "deployment",
        f"{AOAI}/openai/deployments/gpt-4.1/{CHAT}?api-version=2025-01-01-preview",
    ),
    "deployment, half an operation": (
        f"{AOAI}/openai/deployments/d/chat",
        "deployment",
        f"{AOAI}/openai/deployments/d/{CHAT}?api-version=2024-10-21",
    ),
    **{
        f"deployment called {name}{operation}": (
            f"{AOAI}/openai/deployments/{name}{operation}",
            "deployment",
            f"{AOAI}/openai/deployments/{name}/{CHAT}?api-version=2024-10-21",
        )
        for name in ("embeddings", "chat", "completions", "models", "info", "v1")
        for operation in ("", "/", "/chat", "/chat/completions", "/completions", "/embeddings")
    },
    "deployment behind API Management": (
        "https://front.azure-api.net/ai/openai/deployments/d1",
        "deployment",
        f"https://front.azure-api.net/ai/openai/deployments/d1/{CHAT}?api-version=2024-10-21",
    ),
    "deployment behind API Management, half an operation": (
        "https://front.azure-api.net/ai/openai/deployments/d1/chat",
        "deployment",
        f"https://front.azure-api.net/ai/openai/deployments/d1/{CHAT}?api-version=2024-10-21",
    ),
    "models behind API Management": (
        "https://front.azure-api.net/mistral/models",
        "models",
        f"https://front.azure-api.net/mistral/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "v1 behind API Management, a model in the path": (
        "https://front.azure-api.net/openai/v1/grok",
        "openai-v1",
        f"https://front.azure-api.net/openai/v1/grok/{CHAT}",
    ),
    "v1 behind API Management, a model called chat": (
        "https://front.azure-api.net/openai/v1/chat",
        "openai-v1",
        f"https://front.azure-api.net/openai/v1/chat/{CHAT}",
    ),
    "models behind API Management, versioned": (
        "https://front.azure-api.net/x/v1/models",
        "models",
        f"https://front.azure-api.net/x/v1/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "v1 below a project": (f"{R}/api/projects/p/openai/v1", "openai-v1", f"{R}/api/projects/p/openai/v1/{CHAT}"),
    "models of the draft": (
        f"{R}/api/models",
        "models",
        f"{R}/api/models/{CHAT}?api-version=2024-05-01-preview",
    ),
    "IPv6": ("http://[::1]:8080/v1", "generic", f"http://[::1]:8080/v1/{CHAT}"),
}


@pytest.mark.parametrize(("url", "dialect", "expected"), PASTED.values(), ids=PASTED)
def test_pasted(url: str, dialect: str, expected: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.dialect, endpoint.url(CHAT)) == (dialect, expected)


@pytest.mark.parametrize(
    ("url", "key_header", "scope", "extra_parameters", "ask_for_usage"),
    [
        (f"{R}/openai/v1", "api-key", "https://ai.azure.com/.default", False, True),
        (f"{R}/models", "api-key", "https://cognitiveservices.azure.com/.default", True, False),
        (f"{AOAI}/openai/deployments/d", "api-key", "https://cognitiveservices.azure.com/.default", False, True),
        ("https://d.r.models.ai.azure.com", "authorization", None, True, False),
        ("https://e.r.inference.ml.azure.com", "authorization", "https://ml.azure.com/.default", True, False),
        ("https://h.example/v1", "authorization", None, False, True),
    ],
)
def test_how_to_speak(
    url: str, key_header: str, scope: str | None, extra_parameters: bool, ask_for_usage: bool
) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.key_header, endpoint.scope) == (key_header, scope)
    assert (endpoint.extra_parameters, endpoint.ask_for_usage) == (extra_parameters, ask_for_usage)


@pytest.mark.parametrize(
    ("url", "api_version", "query"),
    [
        pytest.param(f"{R}/models", UNSET, (("api-version", DEFAULT_API_VERSION),), id="models default"),
        pytest.param(f"{R}/models", None, (), id="models none"),
        pytest.param(f"{R}/models?api-version=a&b=c", None, (("b", "c"),), id="models none, other query kept"),
        pytest.param(f"{R}/models?api-version=a", "b", (("api-version", "b"),), id="models by name"),
        pytest.param(f"{R}/openai/v1", UNSET, (), id="v1 default"),
        pytest.param(f"{R}/openai/v1?api-version=preview", None, (), id="v1 none"),
        pytest.param(f"{R}/openai/v1", "preview", (("api-version", "preview"),), id="v1 by name"),
        pytest.param(f"{R}/openai/v1", "2024-10-21", (("api-version", "2024-10-21"),), id="v1 dated by name"),
        pytest.param("https://h.example/v1", UNSET, (), id="generic default"),
        pytest.param("https://h.example/v1", "a", (("api-version", "a"),), id="generic by name"),
        pytest.param("https://h.example/v1?api-version=a", None, (), id="generic none"),
    ],
)
def test_api_version(url: str, api_version: Any, query: tuple[tuple[str, str], ...]) -> None:
    assert Endpoint.parse(url, api_version=api_version).query == query


@pytest.mark.parametrize(
    "url", [f"{R}/openai/v1?api-version=2024-10-21", f"{R}/openai/v1/chat/completions?api-version=2024-10-21"]
)
def test_a_dated_version_of_v1_is_dropped_aloud(url: str) -> None:
    with pytest.warns(
        UserWarning,
        match=r"api-version=2024-10-21 .*/openai/v1, which takes no dated.*take it out of.*api_version=None$",
    ):
        endpoint = Endpoint.parse(url)
    assert (endpoint.url(CHAT), endpoint.dropped_api_version) == (f"{R}/openai/v1/{CHAT}", "2024-10-21")
    assert endpoint.explain()["api-version"] == (
        "none is sent; 2024-10-21 of the address is dropped, for /openai/v1 takes none"
    )
    assert "2024" not in repr(endpoint)


def test_a_warning_points_at_the_caller() -> None:
    with pytest.warns(UserWarning, match="takes no dated version") as caught:
        Endpoint.parse(f"{R}/openai/v1?api-version=2024-10-21")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("api_version", [None, "preview", "2024-10-21"])
def test_a_version_by_name_drops_nothing(api_version: str | None) -> None:
    endpoint = Endpoint.parse(f"{R}/openai/v1?api-version=2024-10-21", api_version=api_version)
    assert endpoint.dropped_api_version is None


def test_dialect_by_name() -> None:
    deployment = f"{AOAI}/openai/deployments/gpt-4.1"
    dated = Endpoint.parse(deployment, dialect="generic", api_version="2024-10-21")
    assert dated.url(CHAT) == f"{deployment}/{CHAT}?api-version=2024-10-21"
    assert (dated.dialect, dated.is_azure) == ("generic", True)
    assert Endpoint.parse("https://gw.example/x", dialect="models").extra_parameters is True
    assert Endpoint.parse("https://gw.example/x", dialect="openai-v1").key_header == "api-key"
    assert Endpoint.parse("https://gw.example/v1/models", dialect="models").base == "https://gw.example/v1/models"
    assert Endpoint.parse(f"{R}/models", dialect="generic").query == ()


def test_unknown_dialect() -> None:
    for unknown in ("azure", ["models"]):
        dialect: Any = unknown
        with pytest.raises(ConfigurationError) as caught:
            Endpoint.parse("https://h.example/v1", dialect=dialect)
        assert str(caught.value) == (
            f"got dialect={unknown!r}, expected one of 'models', 'openai-v1', 'deployment', 'serverless', 'managed', "
            "'generic'"
        )


@pytest.mark.parametrize(
    ("url", "named", "not_named"),
    [
        pytest.param(R, ["with no path, which", f"{R}/openai/v1", f"{R}/models"], ["project"], id="host only"),
        pytest.param(f"{R}/", [f"{R}/openai/v1", f"{R}/models"], [], id="host and slash"),
        pytest.param(AOAI, [f"{AOAI}/openai/v1"], [f"{AOAI}/models"], id="openai host"),
        pytest.param(
            "https://r.cognitiveservices.azure.com",
            ["https://r.cognitiveservices.azure.com/openai/v1"],
            [],
            id="cognitive services host",
        ),
        pytest.param(f"{AOAI}/openai", [f"{AOAI}/openai/v1", f"{AOAI}/openai/deployments/NAME"], [], id="half a path"),
        pytest.param(f"{AOAI}/openai/deployments/d/x", [f"{AOAI}/openai/v1", "/d/x'"], [], id="below a deployment"),
        pytest.param(f"{R}/api/projects/p", [f"{R}/openai/v1", "'/api/projects/p'"], [], id="project"),
        pytest.param(f"{R}/chat/completions", [f"{R}/openai/v1", f"{R}/models"], [], id="operation only"),
    ],
)
def test_azure_without_a_known_path(url: str, named: list[str], not_named: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.parse(url)
    assert all(name in str(caught.value) for name in named)
    assert not any(name in str(caught.value) for name in not_named)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param(
            "", "got an empty endpoint, expected a URL such as https://NAME.services.ai.azure.com/openai/v1", id="empty"
        ),
        pytest.param("  \n", "got an empty endpoint", id="blank"),
        pytest.param(f"<{R}/models>", "angle brackets, expected the bare URL", id="in angle brackets"),
        pytest.param(f"'{R}/models", "in quotes or", id="after a quote"),
        pytest.param("https://<name.example/v1", "with a placeholder", id="an opened placeholder"),
        pytest.param("https://name>.example/v1", "with a placeholder", id="a closed placeholder"),
        pytest.param("https://u:p@h.example/v1", "got an endpoint with a user name or password in it", id="a password"),
        pytest.param("https://u@h.example/v1", "pass the key as credential=", id="a user name"),
        pytest.param("h.example/v1", "did you mean https://h.example/v1?", id="no scheme"),
        pytest.param(
            "My.Services.AI.Azure.com",
            "did you mean https://My.Services.AI.Azure.com/openai/v1?",
            id="no scheme, no path, Azure",
        ),
        pytest.param(
            "r.openai.azure.com:443/",
            "did you mean https://r.openai.azure.com:443/openai/v1?",
            id="no scheme, port, Azure",
        ),
        pytest.param(
            "r.services.ai.azure.com/models",
            "did you mean https://r.services.ai.azure.com/models?",
            id="no scheme, Azure",
        ),
        pytest.param("h.example", "did you mean https://h.example?", id="no scheme, no path"),
        pytest.param("localhost:8000/v1", "did you mean https://localhost:8000/v1?", id="no scheme, port"),
        pytest.param("ftp://h.example/v1", "without http:// or https://", id="ftp"),
        pytest.param("file:///etc/passwd", "without http:// or https://", id="file"),
        pytest.param("https://", "without a host", id="no host"),
        pytest.param("https:///v1", "without a host", id="no host, path"),
        pytest.param("https://:8000/v1", "without a host", id="no host, port"),
        pytest.param("https://h.example/a b", "with a space", id="space"),
        pytest.param("https://h.ex ample/v1", "with a space", id="space in the host"),
        pytest.param("https://h.example/\ud800/v1", "half of a character", id="half of a character"),
        pytest.param("https://h.example/v1?a=\udcff", "half of a character", id="half of a character in the query"),
        pytest.param("https://h.example/\x00v1", "control character", id="NUL"),
        pytest.param("https://h.example/v1\r\nx: y", "control character", id="line break"),
        pytest.param("https://h.example:port/v1", "no URL", id="port words"),
        pytest.param("https://h.example:99999/v1", "no URL", id="port too large"),
        pytest.param("https://[::1/v1", "no URL", id="bad IPv6"),
        pytest.param(None, "of type NoneType", id="None"),
        pytest.param(b"https://h.example", "of type bytes", id="bytes"),
    ],
)
def test_refused(url: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.parse(url)
    assert words in str(caught.value)
    assert str(caught.value).startswith("got ")


@pytest.mark.parametrize("url", ["ftp://h.example/v1", "0123456789abcdef"], ids=["another scheme", "perhaps a key"])
def test_nothing_is_proposed_for_what_looks_like_no_host(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.parse(url)
    assert str(caught.value) == (
        "got an endpoint without http:// or https://; write the whole URL, such as "
        "https://NAME.services.ai.azure.com/openai/v1"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:hidden@h.example/v1",
        "https://hidden@h.example/v1",
        "https://:hidden@h.example/v1",
        "alice:hidden@h.example/v1",
        "ftp://alice:hidden@h.example/v1",
        "h.example/v1?subscription-key=hidden",
        "https://alice:hidden@h.example:port/v1",
    ],
)
def test_a_secret_in_a_bad_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.parse(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "secure", "azure", "host"),
    [
        (f"{R}/models", True, True, "r.services.ai.azure.com"),
        ("https://R.OpenAI.Azure.com/openai/v1", True, True, "r.openai.azure.com"),
        ("https://r.cognitiveservices.azure.com/openai/v1", True, True, "r.cognitiveservices.azure.com"),
        ("https://r.openai.azure.com:443/openai/v1", True, True, "r.openai.azure.com"),
        ("http://r.openai.azure.com/openai/v1", False, True, "r.openai.azure.com"),
        ("https://r.openai.azure.com.evil.example/openai/v1", True, False, "r.openai.azure.com.evil.example"),
        ("https://evilopenai.azure.com/openai/v1", True, False, "evilopenai.azure.com"),
        ("https://h.example/v1", True, False, "h.example"),
        ("http://h.example/v1", False, False, "h.example"),
        ("http://localhost:8000/v1", True, False, "localhost"),
        ("http://LOCALHOST/v1", True, False, "localhost"),
        ("http://app.localhost/v1", False, False, "app.localhost"),
        ("http://127.0.0.1:8000/v1", True, False, "127.0.0.1"),
        ("http://127.9.9.9/v1", True, False, "127.9.9.9"),
        ("http://[::1]:8000/v1", True, False, "::1"),
        ("http://[::2]:8000/v1", False, False, "::2"),
        ("http://0.0.0.0:8000/v1", False, False, "0.0.0.0"),
        ("http://10.0.0.1/v1", False, False, "10.0.0.1"),
        ("http://localhost.evil.example/v1", False, False, "localhost.evil.example"),
        ("http://127.0.0.1.evil.example/v1", False, False, "127.0.0.1.evil.example"),
        ("http://evillocalhost/v1", False, False, "evillocalhost"),
    ],
)
def test_hosts(url: str, secure: bool, azure: bool, host: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.is_secure, endpoint.is_azure, endpoint.host) == (secure, azure, host)


def test_url_joins_and_quotes() -> None:
    endpoint = Endpoint(base="https://h.example/a", dialect="generic", query=(("k", "a b/c&d=é"),))
    assert endpoint.url("info") == "https://h.example/a/info?k=a%20b%2Fc%26d%3D%C3%A9"
    assert Endpoint(base="https://h.example", dialect="generic").url("x/y") == "https://h.example/x/y"


def test_endpoints_are_values() -> None:
    assert Endpoint.parse(f"{R}/models") == Endpoint.parse(f"{R}/models/chat/completions")
    assert hash(Endpoint.parse(f"{R}/models")) == hash(Endpoint.parse(f"{R}/models/"))
    with pytest.raises(AttributeError):
        setattr(Endpoint.parse(R + "/models"), "base", "x")  # noqa: B010  (a type checker would refuse it)


# ---------------------------------------------------------------------------------------------------------------------
# The environment

ROWS: Final = (
    ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL", "AZURE_INFERENCE_MODEL"),
    ("AZURE_AI_CHAT_ENDPOINT", "AZURE_AI_CHAT_KEY", "AZURE_AI_CHAT_MODEL"),
    ("AZURE_AI_EMBEDDINGS_ENDPOINT", "AZURE_AI_EMBEDDINGS_KEY", "AZURE_AI_EMBEDDINGS_MODEL"),
    ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT"),
    ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"),
)
FULL: Final = {
    name: f"https://h{row}.example/v1" if kind == 0 else f"{'-km'[kind]}{row}"
    for row, names in enumerate(ROWS)
    for kind, name in enumerate(names)
}


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_first_row_with_an_endpoint(row: int) -> None:
    gone = {names[0] for names in ROWS[:row]}
    environ = {name: value for name, value in FULL.items() if name not in gone}
    assert settings_from(environ) == Settings(f"https://h{row}.example/v1", f"k{row}", f"m{row}")


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_rows_are_never_mixed(row: int) -> None:
    environ = {name: value for name, value in FULL.items() if name not in ROWS[row][1:]}
    for names in ROWS[:row]:
        del environ[names[0]]
    assert settings_from(environ) == Settings(f"https://h{row}.example/v1", None, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, Settings(), id="nothing"),
        pytest.param({"OPENAI_API_KEY": "k", "OPENAI_MODEL": "m"}, Settings(), id="a key without an endpoint"),
        pytest.param({"OPENAI_BASE_URL": " "}, Settings(), id="blank"),
        pytest.param(
            {"AZURE_INFERENCE_ENDPOINT": "", "OPENAI_BASE_URL": "https://h.example/v1"},
            Settings("https://h.example/v1"),
            id="empty, then another",
        ),
        pytest.param(
            {"OPENAI_BASE_URL": " https://h.example/v1\n", "OPENAI_API_KEY": " k\n", "OPENAI_MODEL": " "},
            Settings("https://h.example/v1", "k", None),
            id="white space",
        ),
        pytest.param({"AZURE_OPENAI_ENDPOINT": AOAI}, Settings(f"{AOAI}/openai/v1"), id="host"),
        pytest.param({"AZURE_OPENAI_ENDPOINT": f"{AOAI}/"}, Settings(f"{AOAI}/openai/v1"), id="host and slash"),
        pytest.param({"AZURE_OPENAI_ENDPOINT": f"{AOAI}/openai/v1/"}, Settings(f"{AOAI}/openai/v1/"), id="with a path"),
        pytest.param({"AZURE_INFERENCE_ENDPOINT": R}, Settings(R), id="only that variable means v1"),
        pytest.param({"AZURE_OPENAI_ENDPOINT": "http://[bad"}, Settings("http://[bad"), id="no URL is left to parse"),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": AOAI, "AZURE_OPENAI_AD_TOKEN": " t\n"},
            Settings(f"{AOAI}/openai/v1", token="t"),
            id="a token",
        ),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": AOAI, "AZURE_OPENAI_AD_TOKEN": "t", "AZURE_OPENAI_API_KEY": "k"},
            Settings(f"{AOAI}/openai/v1", "k"),
            id="a key is stronger than a token",
        ),
        pytest.param(
            {"OPENAI_BASE_URL": "https://h.example/v1", "AZURE_OPENAI_AD_TOKEN": "t"},
            Settings("https://h.example/v1"),
            id="a token of another set",
        ),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": f"{AOAI}/openai/deployments/d", "OPENAI_API_VERSION": "2025-01-01-preview"},
            Settings(f"{AOAI}/openai/deployments/d?api-version=2025-01-01-preview"),
            id="a version for a deployment",
        ),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": f"{AOAI}/openai/deployments/d?a=1", "OPENAI_API_VERSION": "v&x"},
            Settings(f"{AOAI}/openai/deployments/d?a=1&api-version=v%26x"),
            id="a version behind another query",
        ),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": f"{AOAI}/openai/deployments/d?api-version=1", "OPENAI_API_VERSION": "2"},
            Settings(f"{AOAI}/openai/deployments/d?api-version=1"),
            id="the address has one",
        ),
        pytest.param(
            {"AZURE_OPENAI_ENDPOINT": AOAI, "OPENAI_API_VERSION": "2025-01-01-preview"},
            Settings(f"{AOAI}/openai/v1"),
            id="v1 takes no version",
        ),
    ],
)
def test_settings(environ: dict[str, str], expected: Settings) -> None:
    assert settings_from(environ) == expected


def test_openai_host_with_a_query_still_means_v1() -> None:
    endpoint = settings_from({"AZURE_OPENAI_ENDPOINT": f"{AOAI}/?api-version=2024-10-21"}).endpoint
    assert endpoint is not None
    with pytest.warns(UserWarning, match="takes no dated version"):
        parsed = Endpoint.parse(endpoint)
    assert parsed.url(CHAT) == f"{AOAI}/openai/v1/{CHAT}"


@pytest.mark.parametrize("host", ["models.github.ai/inference", "models.inference.ai.azure.com"])
def test_github_models_is_gone(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"shut down on 2026-07-30.*/openai/v1"):
        Endpoint.parse(f"https://{host}")


def test_what_is_pasted_and_not_spoken() -> None:
    with pytest.raises(ConfigurationError, match="Anthropic's own wire format"):
        Endpoint.parse(f"{R}/anthropic")
    with pytest.raises(ConfigurationError, match=r"'/api/projects/p' \(a project's endpoint is for agents\), which"):
        Endpoint.parse(f"{R}/api/projects/p")


def test_a_key_header_of_ones_own() -> None:
    endpoint = Endpoint.parse("https://front.azure-api.net/mistral/models", key_header="Ocp-Apim-Subscription-Key")
    assert endpoint.key_header == "ocp-apim-subscription-key"


def test_explain_says_what_was_understood_and_no_secret() -> None:
    rows = Endpoint.parse(f"{AOAI}/openai/deployments/d?subscription-key=hidden").explain()
    assert rows == {
        "dialect": "deployment: Azure OpenAI with dated versions",
        "chat": f"{AOAI}/openai/deployments/d/chat/completions",
        "embeddings": f"{AOAI}/openai/deployments/d/embeddings",
        "api-version": "2024-10-21",
        "further query": "subscription-key",
        "a key goes in": "api-key",
        "a token is for": "https://cognitiveservices.azure.com/.default",
        "the model is named": "in the path; model= changes nothing",
        "unknown fields": "sent as they are",
        "usage in a stream": "asked for",
    }
    generic = Endpoint.parse("https://h.example/v1").explain()
    assert generic["api-version"] == "none is sent"
    assert generic["further query"] == "none"
    assert generic["a key goes in"] == "authorization, as a bearer"
    assert generic["a token is for"] == "no scope known: say scope= if the host takes Entra ID tokens"
    models = Endpoint.parse(f"{R}/models?a=1&b=2").explain()
    assert models["unknown fields"] == "the extra-parameters header decides"
    assert models["usage in a stream"] == "comes unasked"
    assert models["further query"] == "a, b"


@pytest.mark.parametrize(
    ("host", "key_header", "scope"),
    [
        ("api.groq.com", "authorization", None),
        ("127.0.0.1:8080", "authorization", None),
        ("front.azure-api.net", "api-key", "https://ai.azure.com/.default"),
        ("r.openai.azure.com", "api-key", "https://ai.azure.com/.default"),
    ],
)
def test_the_path_of_v1_on_hosts_that_are_not_azures(host: str, key_header: str, scope: str | None) -> None:
    endpoint = Endpoint.parse(f"https://{host}/openai/v1")
    assert (endpoint.dialect, endpoint.key_header, endpoint.scope) == ("openai-v1", key_header, scope)


def test_a_key_header_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="expected the name of a header"):
        Endpoint.parse(f"{R}/models", key_header="bad header\r\nx: y")


KEYS: Final = {"AZURE_INFERENCE_CREDENTIAL": "k1", "AZURE_OPENAI_API_KEY": "k2"}


@pytest.mark.parametrize(
    ("environ", "url", "key"),
    [
        pytest.param(KEYS, f"{R}/models", "k1", id="no endpoint set: the first key"),
        pytest.param(KEYS, "https://h.example/v1", None, id="no endpoint set, a host that is nobody's"),
        pytest.param(KEYS, "http://127.0.0.1:1/models", "k1", id="this machine"),
        pytest.param({"AZURE_OPENAI_API_KEY": "k2"}, "http://127.0.0.1:1/v1", None, id="this machine, another's key"),
        pytest.param({"OPENAI_API_KEY": "k3"}, f"{R}/models", None, id="not one of Azure's"),
        pytest.param({**KEYS, "AZURE_OPENAI_ENDPOINT": AOAI}, f"{AOAI}/openai/v1", "k2", id="the key of that host"),
        pytest.param({**KEYS, "AZURE_OPENAI_ENDPOINT": AOAI + ":443"}, f"{AOAI}/openai/v1", "k2", id="its port named"),
        pytest.param({**KEYS, "AZURE_INFERENCE_ENDPOINT": AOAI}, f"{R}/models", "k2", id="the first is another host's"),
        pytest.param({**KEYS, "AZURE_OPENAI_ENDPOINT": "http://[bad"}, f"{R}/models", "k1", id="one is no URL"),
    ],
)
def test_settings_for_an_endpoint_that_is_given(environ: dict[str, str], url: str, key: str | None) -> None:
    assert settings_for(Endpoint.parse(url), environ).credential == key


MODELS: Final = {"AZURE_INFERENCE_MODEL": "m1", "AZURE_AI_CHAT_MODEL": "m2", "AZURE_OPENAI_DEPLOYMENT": "m3"}
ELSEWHERE: Final = {"AZURE_OPENAI_ENDPOINT": f"{AOAI}:8443"}


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        pytest.param({}, f"{R}/models", Settings(), id="nothing is set"),
        pytest.param(KEYS | MODELS, f"{R}/models", Settings(f"{R}/models", "k1", "m1"), id="both of the first"),
        pytest.param(MODELS, f"{R}/models", Settings(f"{R}/models", None, "m1"), id="a model alone"),
        pytest.param(
            {"AZURE_AI_CHAT_MODEL": "m2"}, f"{R}/models", Settings(f"{R}/models", None, "m2"), id="a later model alone"
        ),
        pytest.param(KEYS, f"{R}/models", Settings(f"{R}/models", "k1", None), id="a key alone"),
        pytest.param(
            KEYS | MODELS | {"AZURE_OPENAI_ENDPOINT": AOAI},
            f"{AOAI}/openai/v1",
            Settings(f"{AOAI}/openai/v1", "k2", "m3"),
            id="both of the host",
        ),
        pytest.param(
            {"OPENAI_BASE_URL": "http://127.0.0.1:80/v1", "OPENAI_API_KEY": "k3"},
            "http://127.0.0.1/v1",
            Settings("http://127.0.0.1/v1", "k3", None),
            id="the port of http named",
        ),
        pytest.param(ELSEWHERE | {"AZURE_OPENAI_API_KEY": "k2"}, f"{AOAI}/openai/v1", Settings(), id="another port"),
    ],
)
def test_key_and_model_for_an_endpoint(environ: dict[str, str], url: str, expected: Settings) -> None:
    assert settings_for(Endpoint.parse(url), environ) == expected


@pytest.mark.parametrize(
    ("environ", "key_name"),
    [
        pytest.param({}, "AZURE_INFERENCE_CREDENTIAL", id="none names an endpoint"),
        pytest.param({"AZURE_OPENAI_API_KEY": "k"}, "AZURE_INFERENCE_CREDENTIAL", id="a key names no endpoint"),
        pytest.param({"AZURE_OPENAI_ENDPOINT": AOAI}, "AZURE_OPENAI_API_KEY", id="one does"),
        pytest.param(
            {"AZURE_INFERENCE_ENDPOINT": " ", "OPENAI_BASE_URL": "u"}, "OPENAI_API_KEY", id="a blank does not"
        ),
    ],
)
def test_the_set_that_names_an_endpoint(environ: dict[str, str], key_name: str) -> None:
    assert variables_of(environ)[1] == key_name


def test_a_token_goes_only_to_the_host_it_was_set_for() -> None:
    environ = {"AZURE_OPENAI_ENDPOINT": AOAI, "AZURE_OPENAI_AD_TOKEN": "t"}
    assert settings_for(Endpoint.parse(f"{AOAI}/openai/v1"), environ).token == "t"
    assert settings_for(Endpoint.parse(f"{R}/models"), environ).token is None
    with_key = {**environ, "AZURE_OPENAI_API_KEY": "k"}
    assert settings_for(Endpoint.parse(f"{AOAI}/openai/v1"), with_key)[1:] == ("k", None, None)


GONE: Final = "GitHub Models was shut down on 2026-07-30; deploy the model in Foundry, and use"
LITTLE: Final = "which says too little; expected one of"
NO_ENDPOINTS: Final = {
    "https://models.github.ai/inference": (
        f"got models.github.ai: {GONE} https://NAME.services.ai.azure.com/openai/v1"
    ),
    "https://ai.azure.com/build": (
        "got a page of the portal (ai.azure.com), expected the endpoint that it shows, such as "
        "https://NAME.services.ai.azure.com/openai/v1"
    ),
    R: (
        f"got an Azure endpoint with no path, {LITTLE} {R}/openai/v1, {R}/models, {R}/openai/deployments/NAME "
        "(or say dialect= if this is another kind)"
    ),
    f"{AOAI}/x": (
        f"got an Azure endpoint with the path '/x', {LITTLE} {AOAI}/openai/v1, {AOAI}/openai/deployments/NAME "
        "(or say dialect= if this is another kind)"
    ),
    f'"{R}"': "got an endpoint in quotes or angle brackets, expected the bare URL",
}


@pytest.mark.parametrize(("url", "words"), NO_ENDPOINTS.items(), ids=NO_ENDPOINTS)
def test_what_is_no_endpoint_in_full(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.parse(url)
    assert str(caught.value) == words


def test_a_host_whose_variables_hold_neither_key_nor_token() -> None:
    environ = {"AZURE_OPENAI_ENDPOINT": AOAI}
    assert settings_for(Endpoint.parse(f"{AOAI}/openai/v1"), environ) == Settings()
    deployment = {"AZURE_OPENAI_ENDPOINT": f"{AOAI}/openai/deployments/d"}
    assert settings_from(deployment) == Settings(f"{AOAI}/openai/deployments/d")
