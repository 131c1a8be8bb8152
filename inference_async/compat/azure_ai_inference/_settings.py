"""Keywords of the retired SDK's clients and calls, in the terms of `InferenceClient`.

azure-core takes any keyword, and passes over those that it does not know. What is not understood here is refused: a
proxy or a certificate that is silently passed over is worse than a `TypeError`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypedDict

from ...errors import ConfigurationError, UnknownOptionError
from ...policy.retry import RetryPolicy
from ...policy.timeouts import Timeouts
from ...types import UNSET
from ...wire.endpoints import Endpoint

__all__ = ["CallKeywords", "ClientKeywords", "Settings", "of_call", "of_client", "refuse_unknown"]


class CallKeywords(TypedDict, total=False):
    """Keywords of every call; on the client they are defaults.

    Keys:
        headers: further headers.
        connection_timeout: seconds to open a connection.
        read_timeout: seconds from one piece of a stream to the next; of a whole answer, all that it may take.
        timeout: seconds for the call as a whole.
        retry_total: how often a call that failed is sent again.
        retry_backoff_factor: seconds; see `RetryPolicy.backoff`.
        retry_backoff_max: seconds; see `RetryPolicy.max_backoff`.
        content_type, logging_enable, logging_body: change nothing.
    """

    headers: Mapping[str, str] | None
    connection_timeout: float | None
    read_timeout: float | None
    timeout: float | None
    retry_total: int | None
    retry_backoff_factor: float | None
    retry_backoff_max: float | None
    content_type: str | None
    logging_enable: bool | None
    logging_body: bool | None


class ClientKeywords(CallKeywords, total=False):
    """Keywords of every client.

    Keys:
        api_version: sent with every call, in place of the one that the endpoint is known to take.
        credential_scopes: one scope of Entra ID tokens, in place of the one that the endpoint is known to take.
        user_agent: sent in place of this package's own.
        proxies: ``{"https": "http://proxy:3128"}``.
        use_env_settings: whether the proxies of the environment count, as they do if nothing is said.
        connection_verify: True, or the path of a file with the authorities to trust.
    """

    api_version: str | None
    credential_scopes: Sequence[str] | None
    user_agent: str | None
    proxies: Mapping[str, str] | None
    use_env_settings: bool
    connection_verify: bool | str


class Settings(NamedTuple):
    """Keywords of a client, understood.

    Attributes:
        endpoint: where its calls go.
        native: keywords of `InferenceClient`.
        of_calls: defaults of `CallKeywords`.
        rest: the keywords that are none of these.
    """

    endpoint: Endpoint
    native: dict[str, Any]
    of_calls: dict[str, Any]
    rest: dict[str, Any]


_INSTEAD: Final[Mapping[str, str]] = {
    "connection_cert": "InferenceClient takes it in ssl=",
    "cls": "InferenceClient.request() gives the answer as it came",
    "params": "a further query goes in the endpoint's own",
    "raw_response_hook": "`meta` of InferenceClient's answers has status and headers",
    "session": "InferenceClient takes one",
    "ssl_context": "InferenceClient takes it in ssl=",
    "transport": "InferenceClient takes one of its own kind, or session=",
}


def of_client(endpoint: str, given: Mapping[str, Any]) -> Settings:
    """The keywords of a client.

    Raises:
        ConfigurationError: one of them cannot be meant here, or the endpoint is none.
    """
    rest = dict(given)
    own = {name: rest.pop(name) for name in ClientKeywords.__optional_keys__ if name in rest}
    of_calls = {name: own[name] for name in CallKeywords.__optional_keys__ if name in own and name != "headers"}
    version = own.get("api_version")
    api_version = UNSET if version is None else version
    parsed = Endpoint.parse(endpoint, api_version=api_version)
    if parsed.dialect == "generic":  # which the retired SDK spoke to as to all others
        parsed = Endpoint.parse(endpoint, dialect="models", api_version=api_version)
    headers = dict(own.get("headers") or {})
    if own.get("user_agent"):
        headers["user-agent"] = own["user_agent"]
    scopes = list(own.get("credential_scopes") or ())
    if len(scopes) > 1:
        raise ConfigurationError(f"got {len(scopes)} credential_scopes, expected one")
    proxies: Mapping[str, str] = own.get("proxies") or {}
    native: dict[str, Any] = {
        "headers": headers,
        "scope": scopes[0] if scopes else None,
        "ssl": _authorities(own.get("connection_verify", True)),
        "proxy": proxies.get(parsed.base.partition(":")[0]),
        "trust_env": own.get("use_env_settings", True) and not proxies,
    }
    return Settings(parsed, native, of_calls, rest)


def of_call(given: Mapping[str, Any], defaults: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """The keywords of a call, as those of a call of `InferenceClient`.

    Raises:
        ConfigurationError: one of them cannot be meant here.
    """
    refuse_unknown(name for name in given if name not in CallKeywords.__optional_keys__)
    said = {name: value for name, value in {**defaults, **given}.items() if value is not None}
    limits = {"connect": said.get("connection_timeout"), "total": said.get("timeout")}
    if stream:
        limits["first_token"] = limits["between_tokens"] = said.get("read_timeout")
    elif limits["total"] is None:  # an answer that is not streamed comes as one piece, when it is whole
        limits["total"] = said.get("read_timeout")
    limits = {name: seconds for name, seconds in limits.items() if seconds is not None}
    policy = {
        name: said[theirs]
        for name, theirs in (
            ("retries", "retry_total"),
            ("backoff", "retry_backoff_factor"),
            ("max_backoff", "retry_backoff_max"),
        )
        if theirs in said
    }
    return {
        "headers": said.get("headers"),
        "timeouts": Timeouts(**limits) if limits else None,
        "retries": RetryPolicy(**policy) if policy else None,
    }


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse keywords that are not understood, and say where what they mean is to be had.

    Raises:
        UnknownOptionError: there is one.
    """
    for name in names:
        hint = _INSTEAD.get(name, "it is none of those that are documented here")
        raise UnknownOptionError(f"got the keyword {name!r}, which is not understood: {hint}")


def _authorities(verify: object) -> ssl.SSLContext | None:
    if verify is True:
        return None
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    raise ConfigurationError(
        f"got connection_verify={verify!r}, expected True, or the path of a file with the authorities to trust"
    )
