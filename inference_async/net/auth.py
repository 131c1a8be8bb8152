"""Credentials to headers.

A credential may be a key, an object with a ``key``, anything with azure-identity's ``get_token`` or ``get_token_info``,
a callable that returns a token, the word "default", or nothing. It is recognised by its shape; azure-identity is
imported only where "default" asks for its `DefaultAzureCredential`, and then by the first call.

No frame of this file holds a token in the clear when an error leaves it: reporters of errors show the locals of frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeAlias, cast

from ..errors import ClientClosedError, ConfigurationError, CredentialError, InferenceError, drop_frames
from ..wire.challenge import claims_in
from ..wire.endpoints import Endpoint
from ..wire.request import Secret
from ..wire.response import excerpt
from .detour import DETOUR
from .threads import Threads

__all__ = ["SEE_CAUSE", "Authoriser", "Credential", "authoriser"]

_DEFAULT: Final = "default"
_REFRESH_BEFORE: Final = 300.0
"""Seconds before its end at which a token is replaced; azure-core's own margin."""
_TRY_AGAIN: Final = 30.0
"""Seconds between two requests for a token while the one in hand is good still, whatever comes of the first."""
_GIVE_UP: Final = 30.0
"""Seconds after which a refresh in the background is given up; calls that have no good token wait without a limit."""
_THREADS: Final = 8
"""The most calls of a credential that block at a time; their threads are no part of those that user code shares."""
SEE_CAUSE: Final = "; its own error, the cause of this one, says more"
"""How a message ends that is the first line of a longer one."""


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


class TokenInfoCredential(Protocol):
    """An object that gets tokens by azure-core's newer method, which also says when to refresh them."""

    def get_token_info(self, *scopes: str) -> Any:
        """A token with ``token``, ``expires_on`` and perhaps ``refresh_on``, or an awaitable of one."""
        ...


TokenProvider: TypeAlias = Callable[[], "str | Awaitable[str]"]
Credential: TypeAlias = "str | KeyCredential | TokenCredential | TokenInfoCredential | TokenProvider"
"""What may stand for a credential; the text "default" stands for azure-identity's ``DefaultAzureCredential``."""


class Authoriser(Protocol):
    """Makes the header that authorises a call."""

    async def header(self) -> tuple[str, Secret] | None:
        """The header's name and value; None if the endpoint needs none.

        It waits for a token only where there is none that is good still; a refresh goes on beside the calls.
        Cancelling it does not disturb other calls that wait for the same token. A credential that blocks runs in a
        thread, which nothing can stop: then its result is thrown away.

        Raises:
            CredentialError: the credential gave no token.
            ConfigurationError: a key, or what a callable returned, cannot stand in a header.
        """
        ...

    async def answer(self, challenge: str | None, refused: str) -> bool:
        """Get another credential after one was refused: a token with the claims that are asked for, or a newer one.

        The caller does this once per call, no more. Many calls whose token has ended ask for one new token together.

        Args:
            challenge: the ``WWW-Authenticate`` header of the answer, if it had one.
            refused: the header that carried the credential.

        Returns:
            Whether `header` gives another value now, with which the call is worth sending again.

        Raises:
            CredentialError: the credential gave no token with the claims that were asked for.
        """
        ...

    def move(self) -> None:
        """Go on in another event loop: the one that was used is closed, or another process's."""
        ...

    async def aclose(self) -> None:
        """End a refresh under way, and close a credential that was made here; one that was given is its owner's."""
        ...


def authoriser(
    credential: Credential | None,
    endpoint: Endpoint,
    *,
    scope: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Authoriser:
    """The way this credential authorises calls to this endpoint.

    Args:
        credential: see `Credential`.
        endpoint: where the calls go: it knows which header carries a key, and which scope a token needs.
        scope: overrules the endpoint's.
        clock: seconds since the epoch, by which tokens age.

    Raises:
        ConfigurationError: it is no credential, or a key that cannot stand in a header.
    """
    if credential is None:
        return _Nobody()
    is_default = isinstance(credential, str) and credential == _DEFAULT
    if isinstance(credential, str) and not is_default:
        return _Key(_checked(credential, "key"), endpoint.key_header)
    if isinstance(getattr(credential, "key", None), str):
        return _Key(cast("KeyCredential", credential), endpoint.key_header)
    if is_default or _gets_tokens(credential):
        scope = scope or endpoint.scope
        if scope is None:
            raise ConfigurationError("got a token credential for an endpoint with no known scope; say scope=...")
        return _Token(None if is_default else credential, scope, clock)
    if callable(credential):
        return _Provider(credential)
    raise ConfigurationError(
        f"got a credential of type {type(credential).__name__}, expected a key as text, an object with .key or "
        '.get_token(), a callable that returns a token, or "default"'
    )


class _Plain:
    """What has no answer to a challenge, and nothing to close."""

    async def header(self) -> tuple[str, Secret] | None:
        return None

    async def answer(self, challenge: str | None, refused: str) -> bool:
        try:
            header = await self.header()  # a key may have been replaced meanwhile, and a provider may have a new token
        except (ConfigurationError, CredentialError):
            return False  # the refusal says more
        return header is not None and header[1] != refused

    def move(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class _Nobody(_Plain):
    """No credential."""


class _Key(_Plain):
    def __init__(self, key: str | KeyCredential, header: str) -> None:
        self._key = key
        self._name = header
        self._fixed = self._of(key) if isinstance(key, str) else None

    async def header(self) -> tuple[str, Secret]:
        # What holds a key may be given another one at any time.
        return self._fixed or self._of(_checked(cast("KeyCredential", self._key).key, "key"))

    def _of(self, key: str) -> tuple[str, Secret]:
        return self._name, _bearer(key) if self._name == "authorization" else Secret(key)


class _Provider(_Plain):
    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider
        self._threads = Threads(_THREADS)

    def move(self) -> None:
        self._threads = Threads(_THREADS)

    async def header(self) -> tuple[str, Secret]:
        DETOUR.check_tokens_of(self._provider)
        try:
            return "authorization", _bearer(_checked(await self._threads.call(self._provider), "token"))
        except ConfigurationError:
            raise
        except asyncio.CancelledError as error:
            _check_cancelled(error, "the token provider")
        except Exception as error:
            raise CredentialError(
                f"the token provider raised {type(error).__name__}; its own error is the cause of this one"
            ) from error


class _Kept(NamedTuple):
    """A token in hand; times in seconds since the epoch."""

    header: Secret
    refresh_at: float
    ends: float


class _Token:
    """The tokens of one credential for one scope, each kept until shortly before its end.

    One request for a token is made at a time. Who comes meanwhile, and has no good token, waits and takes what comes of
    it, be it a token or a failure; if the call that makes the request is cancelled, the next in line makes its own.
    A token that is good still is replaced by a task beside the calls, which none of them waits for.
    """

    def __init__(self, credential: Any, scope: str, clock: Callable[[], float]) -> None:
        self._credential: Any = credential  # None until the default one is made
        self._owned = credential is None
        self._name = "DefaultAzureCredential" if self._owned else type(credential).__name__
        self._scope = scope
        self._clock = clock
        self._threads = Threads(_THREADS)
        self._lock = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None
        self._token: _Kept | None = None
        self._requests = 0  # that have ended, well or not
        self._failure: InferenceError | None = None  # of the last of them
        self._claims: str | None = None  # the last that a token was asked for with
        self._asked_with: str | None = None  # the claims of the last request, which may have had none
        self._closed = False

    async def header(self) -> tuple[str, Secret]:
        token = self._token
        now = self._clock()
        if token is None or now >= token.ends:
            token = await self._renewed()
        elif now >= token.refresh_at and not self._closed and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._refreshed())
        return "authorization", token.header

    async def answer(self, challenge: str | None, refused: str) -> bool:
        claims = None if challenge is None else claims_in(challenge)
        if claims is not None:
            if self._credential is None or not self._asking({"claims": claims})[1]:
                return False
            if self._token is None or self._token.header == refused or self._claims != claims:
                await self._renewed(claims)
            return True  # else another call has met the same challenge meanwhile
        if self._token is None or self._token.header == refused:
            with contextlib.suppress(CredentialError):  # the refusal says more
                await self._renewed()
        return self._token is not None and self._token.header != refused

    def move(self) -> None:
        self._threads = Threads(_THREADS)
        self._lock = asyncio.Lock()
        self._refresh = None
        if self._owned:
            self._credential = None  # its connections belong to the other loop, too

    async def aclose(self) -> None:
        self._closed = True
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])
        async with self._lock:
            if self._owned and self._credential is not None:
                with contextlib.suppress(Exception):  # nobody could do anything about it
                    await self._credential.close()
                self._credential = None

    async def _refreshed(self) -> None:
        """Replace a token that is good still. A failure is nobody's: who has no good token any more asks again."""
        with contextlib.suppress(InferenceError, TimeoutError):
            async with asyncio.timeout(_GIVE_UP):
                await self._renewed()

    async def _renewed(self, claims: str | None = None) -> _Kept:
        """A new token; or the old one, if none is to be had and the service has not refused the old one."""
        requests = self._requests
        async with self._lock:
            if self._requests == requests or claims not in (None, self._asked_with):
                await self._request(claims)
            token, failure = self._token, self._failure
        if token is not None and (failure is None or (claims is None and self._clock() < token.ends)):
            return token
        assert failure is not None  # noqa: S101  (for the type checkers: there is a token or a failure)
        # One of its own for each call that waited, and without the frames that held what the credential gave.
        raise type(failure)(failure.message) from failure.__cause__

    async def _request(self, claims: str | None) -> None:
        """Ask for a token; keep it, or the failure."""
        try:
            self._token = await self._asked(claims)
            self._failure = None
        except InferenceError as error:
            self._failure = error.with_traceback(None)  # which would keep this call alive until the next one
            if self._token is not None:
                self._token = self._token._replace(refresh_at=self._clock() + _TRY_AGAIN)
        self._requests += 1  # not reached by a call that is cancelled: the next in line has nothing to take over
        self._asked_with = claims
        self._claims = claims or self._claims

    async def _asked(self, claims: str | None) -> _Kept:
        if self._closed:
            raise ClientClosedError("the client is closed")
        wanted: dict[str, Any] = {}
        if claims is not None:
            wanted["claims"] = claims
        if claims is not None or self._claims is not None:  # a service that has challenged once may do so again
            wanted["enable_cae"] = True
        DETOUR.check_tokens_of(self._credential)
        try:
            if self._credential is None:
                self._credential = await self._threads.call(_default_credential)  # the import takes its time
            method, keywords = self._asking(wanted)
            return _kept(await self._threads.call(method, self._scope, **keywords), self._clock())
        except CredentialError:
            raise
        except asyncio.CancelledError as error:
            _check_cancelled(error, f"the credential {self._name}")
        except ConfigurationError as error:
            raise CredentialError(
                f"the credential {self._name} gave no token for {self._scope}: {error.message}"
            ) from None
        except Exception as error:
            raise CredentialError(
                f"the credential {self._name} gave no token for {self._scope}: {self._said(error)}"
            ) from error

    def _asking(self, wanted: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The method to ask, and what is wanted in the way the method takes it, as far as it does."""
        newer = getattr(self._credential, "get_token_info", None)
        if callable(newer):
            return newer, {"options": wanted} if wanted and _takes(newer, "options") else {}
        older = self._credential.get_token
        return older, {name: value for name, value in wanted.items() if _takes(older, name)}

    def _said(self, error: Exception) -> str:
        if type(error).__module__.partition(".")[0] != "azure":
            return f"{type(error).__name__}; its own error is the cause of this one"
        drop_frames(error)  # which hold client secrets, and azure-identity's words say enough
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = excerpt(lines[0].rstrip(". ").encode("utf-8", "replace"))
        what_to_do = (
            "sign in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
            if self._name == "DefaultAzureCredential"
            else "check the identity that it stands for"
        )
        return f"{said}; {what_to_do}{SEE_CAUSE}"


def _gets_tokens(credential: object) -> bool:
    return any(callable(getattr(credential, name, None)) for name in ("get_token_info", "get_token"))


def _default_credential() -> Any:
    try:
        from azure.identity.aio import DefaultAzureCredential
    except ImportError as error:
        raise CredentialError(
            'got credential="default", which takes azure-identity, and it cannot be imported; '
            "install it with `pip install azure-identity`"
        ) from error
    return DefaultAzureCredential()


def _check_cancelled(error: asyncio.CancelledError, who: str) -> NoReturn:
    """Pass a cancellation on if it is ours; if not, the credential has waited for something that was cancelled."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    raise CredentialError(f"{who} gave up: something that it waited for was cancelled") from error


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes a keyword argument of this name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # it has no signature that can be read
        return False
    return any(
        each.kind is each.VAR_KEYWORD
        or (each.name == name and each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD))
        for each in parameters
    )


def _kept(token: Any, now: float) -> _Kept:
    """The token that a credential gave at a time.

    Raises:
        ConfigurationError: it is none.
    """
    if not hasattr(token, "token"):
        kind = type(token).__name__
        del token
        raise ConfigurationError(f"got a value of type {kind}, expected one with .token and .expires_on")
    header = _bearer(_checked(token.token, "token"))
    ends = _seconds(getattr(token, "expires_on", None))
    refresh_on = _seconds(getattr(token, "refresh_on", None))
    if ends is None:
        raise ConfigurationError("got a token that does not say when it ends, expected .expires_on")
    refresh_at = ends - _REFRESH_BEFORE
    if refresh_on is not None:
        refresh_at = min(refresh_at, refresh_on)
    return _Kept(header, max(refresh_at, now + _TRY_AGAIN), ends)


def _seconds(value: object) -> float | None:
    try:
        seconds = float(cast("float", value))
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _bearer(value: str) -> Secret:
    return Secret(f"Bearer {value}")


def _checked(value: object, what: str) -> Secret:
    """The value, if it can stand in a header; it is never quoted."""
    if not isinstance(value, str):
        kind = type(value).__name__
        del value
        raise ConfigurationError(f"got a {what} of type {kind}, expected text")
    value = Secret(value)
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
    return value
