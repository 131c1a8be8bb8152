"""`inference-async doctor`: what is understood of an endpoint, and, if asked, what the endpoint says to a call."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

from ..client import InferenceClient
from ..errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    InferenceError,
    NotFoundError,
    PermissionDeniedError,
)
from ..policy.timeouts import Timeouts
from ..wire.endpoints import ENDPOINT_VARIABLES, Endpoint, settings_for, settings_from

__all__ = ["diagnosis", "doctor"]


async def doctor(url: str | None, *, model: str | None, call: bool, entra: bool = False) -> int:
    """Print what was understood; with `call`, make one small request. Return 0, or 1 if something is wrong.

    With `entra`, a token of azure-identity's ``DefaultAzureCredential`` takes the place of a key.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    settings = settings_from(os.environ)
    given = url or settings.endpoint
    if given is None:
        raise ConfigurationError(f"got no endpoint: pass a URL, or set one of {', '.join(ENDPOINT_VARIABLES)}")
    endpoint = Endpoint.parse(given)
    settings = settings_for(endpoint, os.environ)
    model = model or settings.model
    credential = "default" if entra else settings.credential
    rows = {
        "endpoint from": "the argument" if url else next(name for name in ENDPOINT_VARIABLES if os.environ.get(name)),
        **endpoint.explain(),
        "a key": _key_row(credential, settings.token, endpoint),
        "a token": _token_row(credential, settings.token, endpoint),
        "a model": model or ("not needed" if endpoint.model_in != "body" else "none is set: pass --model"),
    }
    for name, value in rows.items():
        console.print(Text.assemble((f"{name:20}", "bold"), value))
    if not call:
        return 0
    started = time.monotonic()
    try:
        async with InferenceClient(endpoint, credential, model=model, timeouts=Timeouts(total=30)) as client:
            completion = await client.complete("ping", max_tokens=1)
    except InferenceError as error:
        console.print(f"the call failed: {error}")
        for line in diagnosis(error, endpoint):
            console.print(f"  - {line}")
        return 1
    console.print(f"the call succeeded: {completion.model or 'a model'} answered in {time.monotonic() - started:.2f} s")
    return 0


def diagnosis(error: InferenceError, endpoint: Endpoint) -> list[str]:
    """What a refusal usually comes from, in plain words, likeliest first."""
    if isinstance(error, AuthenticationError) and "audience" in error.detail.lower():
        return [
            f"a token for another audience: this endpoint takes {endpoint.scope or 'none that is known'}",
            "an audience of its own, which its words above name: scope= overrules ours",
            "a regional host in place of the resource's own name: tokens need the resource's custom subdomain",
        ]
    if isinstance(error, AuthenticationError):
        return [
            "a key of another resource, or one that was regenerated",
            f"a key in another header than {endpoint.key_header}: a front of one's own may want key_header=",
        ]
    if isinstance(error, PermissionDeniedError):
        return [
            "a role that is missing: Cognitive Services User, or Cognitive Services OpenAI User for Azure OpenAI",
            "a role that is new: it takes up to ten minutes",
            "a network rule of the resource that does not let this machine in",
        ]
    if isinstance(error, NotFoundError):
        return _NOT_FOUND[endpoint.dialect]
    if isinstance(error, APIConnectionError):
        return ["a name that is mistyped, a proxy, or a firewall between here and there"]
    return []


_NOT_FOUND: Final[Mapping[str, list[str]]] = {
    "models": [
        "a deployment's name that is mistyped: upper and lower case matter",
        "a route that was retired: try /openai/v1 of the same host",
    ],
    "openai-v1": ["a deployment's name that is mistyped: model= is that name, not the model's own"],
    "deployment": [
        "a deployment's name in the path that is mistyped",
        "an api-version that the resource does not know",
    ],
    "serverless": ["an endpoint that was deleted, or a model that is no chat model"],
    "managed": ["an endpoint that was deleted, or a model that is served at a route of its own, such as /score"],
    "generic": ["a path that is missing: many servers want /v1 at the end of the endpoint"],
}


def _token_row(credential: str | None, token: str | None, endpoint: Endpoint) -> str:
    if credential is None and token is not None:
        return "is set in AZURE_OPENAI_AD_TOKEN, and would be used"
    if credential == "default":
        return "would be used, of DefaultAzureCredential" if endpoint.scope else "cannot be had: no scope is known"
    return "would not be used; --entra takes one in place of a key" if endpoint.scope else "would not be used"


def _key_row(key: str | None, token: str | None, endpoint: Endpoint) -> str:
    if key == "default" or (key is None and token is not None):
        return "would not be used"
    if key is not None:
        return "is set beside it"
    return "is needed, and none is set for this host" if endpoint.is_azure else "none is set, and none is sent"
