"""What a client is given: checked and understood before there is one.

The arguments of a constructor come in, plain values go out, and what cannot be meant is refused in our words.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Never, cast

import msgspec

from .errors import ConfigurationError, UnknownOptionError
from .net.auth import Credential
from .policy.limits import Limits
from .policy.retry import RetryPolicy
from .policy.terms import Terms
from .policy.timeouts import Timeouts
from .types import UNSET, ChatOptions, UnsetType
from .types.base import is_mapping, is_whole
from .types.chat import ExtraMode
from .wire.endpoints import ENDPOINT_VARIABLES, Dialect, Endpoint, Settings, settings_for, settings_from
from .wire.request import Secret, check_extra_mode, check_options

__all__ = ["INSECURE", "Options", "agreed", "always", "check_type", "checked_defaults", "refuse_unknown", "understood"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy of a client may have of its own."""

    model: str | None
    defaults: ChatOptions
    extra: dict[str, Any]
    headers: dict[str, str]
    extra_mode: ExtraMode | None
    raise_on_filter: bool
    terms: Terms

    def __post_init__(self) -> None:
        check_type("raise_on_filter", self.raise_on_filter, bool)
        check_extra_mode(self.extra_mode)
        if self.model is not None:
            check_type("model", self.model, str)


_EXAMPLES: Final[Mapping[str, str]] = {
    "Timeouts": ", such as Timeouts(total=30)",
    "RetryPolicy": ", or a number of retries",
}


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse an argument of another type.

    Raises:
        ConfigurationError: see above.
    """
    if not isinstance(value, kind):
        example = _EXAMPLES.get(kind.__name__, "")
        raise ConfigurationError(f"got {name}= of type {type(value).__name__}, expected {kind.__name__}{example}")


def agreed(
    terms: Terms,
    *,
    timeouts: Timeouts | UnsetType | None = None,
    limits: Limits | UnsetType | None = None,
    retries: RetryPolicy | int | UnsetType | None = None,
) -> Terms:
    """The terms, with what is given in place of theirs. A number of retries leaves the rest of the policy as it is.

    Raises:
        ConfigurationError: something of another type.
    """
    given: dict[str, Any] = {}
    for name, value, kind in (("timeouts", timeouts, Timeouts), ("limits", limits, Limits)):
        if value is not None and value is not UNSET:
            check_type(name, value, kind)
            given[name] = value
    if retries is not None and not isinstance(retries, UnsetType):
        if is_whole(retries):
            # Made anew, for an old msgspec's replace() checks nothing.
            policy: dict[str, Any] = {**msgspec.structs.asdict(terms.retries), "retries": retries}
            retries = RetryPolicy(**policy)
        check_type("retries", retries, RetryPolicy)
        given["retries"] = retries
    return msgspec.structs.replace(terms, **given) if given else terms


def always(token: str) -> Credential:
    """A provider of one token: async, so that asking it costs no thread."""

    async def provide(token: Secret = Secret(token)) -> str:  # noqa: B008  (a default hides it from tracebacks)
        return token

    return provide


def checked_defaults(defaults: object) -> ChatOptions:
    """Options for calls that do not say otherwise; a copy.

    Raises:
        ConfigurationError: no mapping, or what a call itself would refuse.
    """
    if defaults is None:
        return {}
    if not is_mapping(defaults):
        raise ConfigurationError(f"got defaults of type {type(defaults).__name__}, expected a dict of options")
    if "model" in defaults:
        raise ConfigurationError("got 'model' in defaults=, which the client takes as model=")
    check_options(defaults)
    return cast("ChatOptions", dict(defaults))


def understood(
    endpoint: str | Endpoint | None,
    dialect: Dialect | None,
    api_version: str | UnsetType | None,
    key_header: str | None,
) -> tuple[Endpoint, Settings]:
    """The endpoint, and what the environment says beside it.

    Raises:
        ConfigurationError: there is none, or none that can be understood.
    """
    if isinstance(endpoint, Endpoint):
        if (dialect, api_version, key_header) != (None, UNSET, None):
            raise ConfigurationError("got an Endpoint, and beside it dialect=, api_version= or key_header=")
        return endpoint, _masked(settings_for(endpoint, os.environ))
    settings = _masked(settings_from(os.environ))
    url = settings.endpoint if endpoint is None else endpoint
    if url is None:
        raise ConfigurationError(
            "got no endpoint: pass one, such as https://NAME.services.ai.azure.com/openai/v1, or set one of "
            + ", ".join(ENDPOINT_VARIABLES)
        )
    parsed = Endpoint.parse(url, dialect=dialect, api_version=api_version, key_header=key_header)
    return parsed, settings if endpoint is None else _masked(settings_for(parsed, os.environ))


def _masked(settings: Settings) -> Settings:
    credential, token = (None if value is None else Secret(value) for value in (settings.credential, settings.token))
    return settings._replace(credential=credential, token=token)


INSECURE: Final = (
    "got a credential for {}, which would go over plain http; use https, or say allow_insecure=True for the client"
)
_ELSEWHERE: Final[Mapping[str, str]] = {
    "timeout": "limits on time go in timeouts=Timeouts(total=...)",
    "max_retries": "how often to try again goes in retries=",
    "retry_total": "how often to try again goes in retries=",
    "api_key": "a key goes in credential=",
    "key": "a key goes in credential=",
    "base_url": "the address goes in endpoint=",
    "url": "the address goes in endpoint=",
    "azure_endpoint": "the address goes in endpoint=",
    "azure_deployment": "the deployment's name goes in model=",
    "credential_scopes": "the scope of tokens goes in scope=",
    "default_headers": "further headers go in headers={...}",
    "model_extras": "fields outside the specification go in extra={...}",
}


def refuse_unknown(unknown: dict[str, Never]) -> None:
    """Refuse keywords that the client does not know, and say what is meant by those of other clients.

    The dict is emptied: it is a local of the frame that the error goes through, and one of its values may be a key.

    Raises:
        UnknownOptionError: there is one.
    """
    names = list(unknown)
    unknown.clear()
    for name in names:
        hint = _ELSEWHERE.get(name, "options of a request go in complete() and stream(), or in defaults={...}")
        raise UnknownOptionError(f"got an unknown option {name!r} for the client: {hint}")
