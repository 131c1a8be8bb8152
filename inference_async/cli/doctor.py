"""`inference-async doctor`: what is understood of an endpoint, and, if asked, what the endpoint says to a call.

It makes the very client that a program with the same arguments would make, so what that refuses, the doctor tells.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from rich.console import Console
from rich.table import Table

from ..client import InferenceClient
from ..errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    CredentialError,
    InferenceError,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableEntityError,
)
from ..net.auth import SEE_CAUSE
from ..policy.timeouts import Timeouts
from ..types import UNSET, UnsetType
from ..wire.endpoints import ENDPOINT_VARIABLES, Dialect, Endpoint, Settings, settings_for, settings_from, variables_of
from .words import OF_ENDPOINTS, on_the_command_line

__all__ = ["Asked", "arguments_of", "diagnosis", "doctor", "understood"]

Sent: TypeAlias = Literal["key", "token", "nothing"]
"""What a call would be authorised with."""


class Asked(NamedTuple):
    """What is asked of the doctor.

    Attributes:
        url: the endpoint; that of the environment if left out.
        model: the deployment's name.
        call: make one small request too.
        entra: take a token of azure-identity's ``DefaultAzureCredential`` in place of a key.
        dialect, api_version, key_header, scope: as for the client; an empty `api_version` sends none.
    """

    url: str | None = None
    model: str | None = None
    call: bool = False
    entra: bool = False
    dialect: str | None = None
    api_version: str | None = None
    key_header: str | None = None
    scope: str | None = None


async def doctor(asked: Asked) -> int:
    """Print what was understood, and what is wrong with it. Return 0, or 1 if something is.

    Raises:
        ConfigurationError: there is no endpoint, or none that can be understood.
    """
    console = Console(highlight=False, markup=False)
    endpoint, settings, source = understood(asked)
    names = variables_of(os.environ if asked.url is None else {})
    sent: Sent = "token" if asked.entra or settings.token else "key" if settings.credential else "nothing"
    if settings.credential == "default":
        sent = "token"
    model = asked.model or settings.model
    rows = {
        "endpoint from": source,
        **endpoint.explain(),
        "a key": _KEY_ROW[sent],
        "a token": _token_row(asked, settings, endpoint),
        "a model": model or ("not needed" if endpoint.model_in != "body" else "none is set"),
    }
    _print_rows(rows, console)
    client: InferenceClient | None = None
    problems: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to warn of, the rows say
            client = InferenceClient(
                **arguments_of(asked),
                timeouts=Timeouts(total=30),
                retries=0,  # a doctor tells what happened
            )
    except ConfigurationError as error:
        problems.append(on_the_command_line(str(error), OF_ENDPOINTS))
    if model is None and endpoint.dialect in ("models", "openai-v1"):
        problems.append(f"no model is named: pass --model, or set {names[2]}")
    for problem in problems:
        console.print(f"problem: {problem}", soft_wrap=True)
    if client is None or not asked.call:
        return 1 if problems else 0
    async with client:
        return await _call(client, endpoint, sent, names[1], console)


def arguments_of(asked: Asked) -> dict[str, Any]:
    """What a client is made of that is to do what is asked."""
    return {
        "endpoint": asked.url,
        "credential": "default" if asked.entra else None,
        "model": asked.model,
        "dialect": _dialect(asked),
        "api_version": _version(asked),
        "key_header": asked.key_header,
        "scope": asked.scope,
    }


async def _call(client: InferenceClient, endpoint: Endpoint, sent: Sent, key_name: str, console: Console) -> int:
    # Its records come to the user in the words of our error, once.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    started = time.monotonic()
    try:
        try:
            completion = await client.complete("ping", max_tokens=1)
        except (BadRequestError, UnprocessableEntityError) as error:
            if "max_tokens" not in f"{error.param} {error.detail}":
                raise
            completion = await client.complete("ping")  # reasoning models take no such limit
    except InferenceError as error:
        said = on_the_command_line(str(error).replace(SEE_CAUSE, ""), OF_ENDPOINTS)
        console.print(f"the call failed: {said}", soft_wrap=True)
        if isinstance(error, CredentialError) and error.__cause__ is not None:
            for line in str(error.__cause__).splitlines()[1:]:
                if line.strip():
                    console.print(f"    {' '.join(line.split())}", soft_wrap=True)
        for line in diagnosis(error, endpoint, sent, key_name=key_name):
            console.print(f"  - {line}", soft_wrap=True)
        return 1
    console.print(f"the call succeeded: {completion.model or 'a model'} answered in {time.monotonic() - started:.2f} s")
    return 0


def diagnosis(
    error: InferenceError, endpoint: Endpoint, sent: Sent, *, key_name: str = "AZURE_INFERENCE_CREDENTIAL"
) -> list[str]:
    """What a refusal usually comes from, in plain words, likeliest first; `key_name` is the variable of its key."""
    if isinstance(error, AuthenticationError):
        return _unauthorised(error, endpoint, sent, key_name)
    if isinstance(error, PermissionDeniedError):
        return [
            "a role that is missing: Cognitive Services User, or Cognitive Services OpenAI User for Azure OpenAI",
            "a role that is new: it takes up to ten minutes",
            "a network rule of the resource that does not let this machine in",
        ]
    if isinstance(error, NotFoundError):
        return _NOT_FOUND[endpoint.dialect]
    if isinstance(error, APIStatusError) and error.status == 410:
        return ["a route or a model that was retired: try /openai/v1 of the same resource"]
    if isinstance(error, APIStatusError) and "api version" in error.detail.lower().replace("-", " "):
        return ["an api-version that this route does not know: --api-version says another, --api-version '' sends none"]
    if isinstance(error, APIConnectionError):
        return ["a name that is mistyped, a proxy, or a firewall between here and there"]
    return []


def _unauthorised(error: AuthenticationError, endpoint: Endpoint, sent: Sent, key_name: str) -> list[str]:
    if sent == "nothing":
        return [f"no key is set for this host: set {key_name}, or pass --entra for a token"]
    if sent == "key":
        return [
            "a key of another resource, or one that was regenerated",
            f"a key in another header than {endpoint.key_header}: a front of one's own may want --key-header",
        ]
    return [
        f"a token for another audience: this endpoint takes {endpoint.scope or 'none that is known'}",
        *(["an audience of its own, which its words above name: --scope overrules ours"] if error.detail else []),
        "a regional host in place of the resource's own name: tokens need the resource's custom subdomain",
    ]


_NOT_FOUND: Final[Mapping[str, list[str]]] = {
    "models": [
        "a deployment's name that is mistyped: upper and lower case matter",
        "a route that was retired: try /openai/v1 of the same host",
    ],
    "openai-v1": ["a deployment's name that is mistyped: --model is that name, not the model's own"],
    "deployment": [
        "a deployment's name in the path that is mistyped",
        "an api-version that the resource does not know",
    ],
    "serverless": ["an endpoint that was deleted, or a model that is no chat model"],
    "managed": ["an endpoint that was deleted, or a model that is served at a route of its own, such as /score"],
    "generic": ["a path that is missing: many servers want /v1 at the end of the endpoint"],
}

_KEY_ROW: Final[Mapping[Sent, str]] = {
    "key": "is set, and would be used",
    "token": "would not be used",
    "nothing": "none is set, and none is sent",
}


def understood(asked: Asked) -> tuple[Endpoint, Settings, str]:
    """The endpoint, what the environment says beside it, and where it was named."""
    settings = settings_from(os.environ)
    given = asked.url or settings.endpoint
    if given is None:
        raise ConfigurationError(f"got no endpoint: pass a URL, or set one of {', '.join(ENDPOINT_VARIABLES)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        endpoint = Endpoint.parse(
            given, dialect=_dialect(asked), api_version=_version(asked), key_header=asked.key_header
        )
    if asked.url:
        return endpoint, settings_for(endpoint, os.environ), "the argument"
    source = next(name for name in ENDPOINT_VARIABLES if os.environ.get(name, "").strip())
    return endpoint, settings, source


def _dialect(asked: Asked) -> Dialect | None:
    return cast("Dialect | None", asked.dialect)  # what is none, the endpoint refuses


def _version(asked: Asked) -> str | UnsetType | None:
    return UNSET if asked.api_version is None else asked.api_version or None


def _print_rows(rows: Mapping[str, str], console: Console) -> None:
    """On a terminal, values are wrapped beside their names; elsewhere a row stays a line."""
    if not console.is_terminal:
        for name, value in rows.items():
            console.print(f"{name:20}{value}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _token_row(asked: Asked, settings: Settings, endpoint: Endpoint) -> str:
    scope = asked.scope or endpoint.scope
    if asked.entra or settings.credential == "default":
        return "would be used, of DefaultAzureCredential" if scope else "cannot be had: no scope is known"
    if settings.token is not None:
        return "is set in AZURE_OPENAI_AD_TOKEN, and would be used"
    return "would not be used; --entra takes one in place of a key" if scope else "would not be used"
