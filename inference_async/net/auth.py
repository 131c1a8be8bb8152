"""Credentials to headers.

A credential may be a key, an object with a ``key``, anything with azure-identity's ``get_token``, a callable that
returns a token, or nothing. It is recognised by its shape, so azure-identity is never imported here.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias, cast

import anyio.to_thread

from ..errors import ConfigurationError, CredentialError
from ..wire.endpoints import Endpoint
from ..wire.request import Secret

__all__ = ["Authoriser", "Credential", "authoriser"]

_REFRESH_BEFORE: Final = 300.0
"""Seconds before its end at which a token is replaced; azure-core's own margin."""


class KeyCredential(Protocol):
    """An object that holds a key, such as azure-core's ``AzureKeyCredential``; read at each call, so it may change."""

    @property
    def key(self) -> str:
        """The key."""
        ...


class TokenCredential(Protocol):
    """An object that gets tokens, such as any credential of ``azure.identity.aio``."""

    def get_token(self, *scopes: str) -> Any:
        """A token with ``token`` and ``expires_on``, or an awaitable of one."""
        ...


TokenProvider: TypeAlias = Callable[[], "str | Awaitable[str]"]
Credential: TypeAlias = "str | KeyCredential | TokenCredential | TokenProvider"
"""What may stand for a credential."""


class Authoriser(Protocol):
    """Makes the header that authorises a call."""

    async def header(self) -> tuple[str, Secret] | None:
        """The header's name and value; None if the endpoint needs none.

        Raises:
            CredentialError: the credential gave no token.
            ConfigurationError: what it gave cannot stand in a header.
        """
        ...


def authoriser(credential: Credential | None, endpoint: Endpoint, *, scope: str | None = None) -> Authoriser:
    """The way this credential authorises calls to this endpoint.

    Raises:
        ConfigurationError: it is no credential, or a key that cannot stand in a header.
    """
    if credential is None:
        return _Nobody()
    if isinstance(credential, str):
        return _Key(_checked(credential, "key"), endpoint.key_header)
    if isinstance(getattr(credential, "key", None), str):
        return _Key(cast("KeyCredential", credential), endpoint.key_header)
    if callable(getattr(credential, "get_token", None)):
        scope = scope or endpoint.scope
        if scope is None:
            raise ConfigurationError("got a token credential for an endpoint with no known scope; say scope=...")
        return _Token(cast("TokenCredential", credential), scope)
    if callable(credential):
        return _Provider(credential)
    raise ConfigurationError(
        f"got a credential of type {type(credential).__name__}, expected a key as text, an object with .key or "
        ".get_token(), or a callable that returns a token"
    )


class _Nobody:
    async def header(self) -> None:
        return None


class _Key:
    def __init__(self, key: str | KeyCredential, header: str) -> None:
        self._key = key
        self._header = header

    async def header(self) -> tuple[str, Secret]:
        key = self._key if isinstance(self._key, str) else _checked(self._key.key, "key")
        return self._header, _bearer(key) if self._header == "authorization" else Secret(key)


class _Token:
    def __init__(self, credential: TokenCredential, scope: str) -> None:
        self._credential = credential
        self._scope = scope
        self._value: Secret | None = None
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def header(self) -> tuple[str, Secret]:
        if self._value is None or time.time() >= self._good_until:
            async with self._lock:  # one refresh, however many calls wait for it
                if self._value is None or time.time() >= self._good_until:
                    await self._refresh()
        assert self._value is not None  # noqa: S101  (for the type checkers: _refresh sets it or raises)
        return "authorization", self._value

    async def _refresh(self) -> None:
        get_token = self._credential.get_token
        try:
            token = await _called(get_token, self._scope)
            value, expires_on = _checked(token.token, "token"), float(token.expires_on)
        except ConfigurationError:
            raise
        except Exception as error:
            raise CredentialError(
                f"the credential {type(self._credential).__name__} gave no token for {self._scope}: "
                f"{type(error).__name__}; its own error is the cause of this one"
            ) from error
        self._value = _bearer(value)
        self._good_until = expires_on - _REFRESH_BEFORE


class _Provider:
    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider

    async def header(self) -> tuple[str, Secret]:
        try:
            token = await _called(self._provider)
        except Exception as error:
            raise CredentialError(
                f"the token provider raised {type(error).__name__}; its own error is the cause of this one"
            ) from error
        return "authorization", _bearer(_checked(token, "token"))


async def _called(function: Callable[..., Any], *args: str) -> Any:
    """What a function of the user's returns; one that may block runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    result = await anyio.to_thread.run_sync(function, *args)
    return await result if inspect.isawaitable(result) else result


def _bearer(value: str) -> Secret:
    return Secret(f"Bearer {value}")


def _checked(value: object, what: str) -> Secret:
    """The value, if it can stand in a header; it is never quoted."""
    if not isinstance(value, str):
        raise ConfigurationError(f"got a {what} of type {type(value).__name__}, expected text")
    if not value:
        raise ConfigurationError(f"got an empty {what}")
    if "\n" in value or "\r" in value:
        raise ConfigurationError(f"got a {what} with a line break; was it read from a file without .strip()?")
    if value != value.strip():
        raise ConfigurationError(f"got a {what} that begins or ends with white space")
    if value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(f"got a {what} in quotes; pass it without them")
    if value.lower().startswith("bearer "):
        raise ConfigurationError(f"got a {what} that begins with 'Bearer '; pass what follows it")
    if not value.isascii() or not value.isprintable():
        raise ConfigurationError(f"got a {what} with a non-Latin or control character, expected printable ASCII")
    return Secret(value)
