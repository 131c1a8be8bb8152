"""`InferenceClient`: the front door."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Never, Self, Unpack

import msgspec

from .errors import APIConnectionError, APITimeoutError, ConfigurationError, UnknownOptionError
from .net.aiohttp import AiohttpTransport
from .net.auth import Credential, authoriser
from .net.session import Session
from .net.transport import Transport
from .policy.limits import Limits
from .policy.timeouts import Timeouts
from .stream import ChatStream
from .types import UNSET, ChatCompletion, ChatOptions, Messages, UnsetType
from .types.chat import ExtraMode
from .wire.endpoints import ENDPOINT_VARIABLES, Dialect, Endpoint, Settings, settings_for, settings_from
from .wire.request import Call, chat_call, check_extra_mode, checked_headers

if TYPE_CHECKING:
    import aiohttp

__all__ = ["InferenceClient"]


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy of a client may have of its own."""

    model: str | None
    headers: dict[str, str]
    extra_mode: ExtraMode | None
    timeouts: Timeouts
    limits: Limits

    def __post_init__(self) -> None:
        for name, kind in (("timeouts", Timeouts), ("limits", Limits)):
            _check_type(name, getattr(self, name), kind)
        check_extra_mode(self.extra_mode)
        if self.model is not None:
            _check_type("model", self.model, str)


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        example = f", such as {kind.__name__}(total=30)" if kind is Timeouts else ""
        raise ConfigurationError(f"got {name}= of type {type(value).__name__}, expected {kind.__name__}{example}")


class InferenceClient:
    """A client of one endpoint. Make one per process and event loop, and share it: it holds one pool of connections.

    ::

        async with InferenceClient(endpoint, key, model="mistral-large-2407") as client:
            completion = await client.complete("How many languages are in the world?")
            print(completion.text, completion.usage)

    Making a client does no I/O; its connections are opened when they are needed, in the event loop of the first call.

    Args:
        endpoint: a URL as the portal shows it, or an `Endpoint`. Left out, it is read from the environment: from the
            first set that names one of ``AZURE_INFERENCE_{ENDPOINT,CREDENTIAL,MODEL}``,
            ``AZURE_AI_CHAT_{ENDPOINT,KEY,MODEL}``, ``AZURE_OPENAI_{ENDPOINT,API_KEY,DEPLOYMENT}`` and
            ``OPENAI_{BASE_URL,API_KEY,MODEL}``. Credential and model come from the same set, if they are left out; a
            key that is set beside another host's endpoint is never used.
        credential: a key, an object with ``.key``, a credential of ``azure.identity`` or ``azure.identity.aio``, a
            callable that returns a token, or "default" for a ``DefaultAzureCredential``, which the first call makes and
            `aclose` closes; any other credential is its owner's to close. It goes to this endpoint only, and over plain
            http only to this machine.
        model: the deployment's name, for calls that name none.
        dialect: overrules what the URL says; see `Endpoint`.
        api_version: overrules the dialect's own; None sends none.
        key_header: overrules the header that carries a key, such as ``Ocp-Apim-Subscription-Key``.
        scope: overrules the scope of Entra ID tokens that the endpoint asks for.
        headers: further headers for every call.
        extra_mode: what the service shall do with parameters outside its specification, where nothing is said in
            the call: ``pass-through`` (the default), ``drop`` or ``error``.
        timeouts: see `Timeouts`; all limits are finite unless set to None.
        limits: see `Limits`.
        allow_insecure: allow a credential over plain http to another machine.
        session: an aiohttp session to use in place of an own one; it is not closed by this client.
        transport: something else to send with, in place of aiohttp.

    Raises:
        ConfigurationError: an argument, or the environment, cannot be understood. The message never quotes a key.
    """

    def __init__(
        self,
        endpoint: str | Endpoint | None = None,
        credential: Credential | None = None,
        *,
        model: str | None = None,
        dialect: Dialect | None = None,
        api_version: str | UnsetType | None = UNSET,
        key_header: str | None = None,
        scope: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra_mode: ExtraMode | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        allow_insecure: bool = False,
        session: aiohttp.ClientSession | None = None,
        transport: Transport | None = None,
        **unknown: Never,
    ) -> None:
        _refuse_unknown(unknown)
        if isinstance(credential, str) and credential.startswith(("https://", "http://")):
            raise ConfigurationError("got a URL as the credential; are endpoint and credential in each other's place?")
        endpoint, settings = _understood(endpoint, dialect, api_version, key_header)
        if credential is None:
            credential = settings.credential
        own_headers = checked_headers(headers, endpoint)
        if credential is None and endpoint.is_azure and endpoint.credential_headers.isdisjoint(own_headers):
            raise ConfigurationError(
                f'got no credential for {endpoint.host}: pass a key, an azure-identity credential or "default", or set '
                "AZURE_INFERENCE_CREDENTIAL (a key that is set beside another host's endpoint is not sent to this one)"
            )
        self._may_send_credentials = endpoint.is_secure or allow_insecure
        if credential is not None and not self._may_send_credentials:
            raise ConfigurationError(_INSECURE.format(endpoint.base))
        self._endpoint = endpoint
        self._options = _Options(
            model=model or settings.model,
            headers=own_headers,
            extra_mode=extra_mode,
            timeouts=timeouts or Timeouts(),
            limits=limits or Limits(),
        )
        self._session = Session(transport or AiohttpTransport(session), authoriser(credential, endpoint, scope=scope))
        self._owner = True

    @property
    def endpoint(self) -> Endpoint:
        """Where this client's calls go."""
        return self._endpoint

    @property
    def model(self) -> str | None:
        """The model of calls that name none."""
        return self._options.model

    def with_options(
        self,
        *,
        model: str | UnsetType | None = UNSET,
        headers: Mapping[str, str] | UnsetType = UNSET,
        extra_mode: ExtraMode | UnsetType | None = UNSET,
        timeouts: Timeouts | UnsetType = UNSET,
        limits: Limits | UnsetType = UNSET,
        **unknown: Never,
    ) -> InferenceClient:
        """A copy with other options, which shares connections and credential with this client.

        It is cheap: make one per call if that reads best. Closing a copy does nothing; closing the client closes all
        its copies. What is not named stays as it is.

        Args:
            model: the deployment's name, for calls that name none; None for no default.
            headers: added to the client's own, and stronger than they.
            extra_mode: as for the client; None for the default.
            timeouts: in place of the client's.
            limits: in place of the client's.

        Raises:
            ConfigurationError: a header that cannot be sent, or a value of another type.
        """
        _refuse_unknown(unknown)
        options = self._options
        copy = object.__new__(type(self))
        copy._endpoint = self._endpoint
        copy._session = self._session
        copy._may_send_credentials = self._may_send_credentials
        copy._owner = False
        copy._options = _Options(
            model=options.model if isinstance(model, UnsetType) else model,
            headers=options.headers
            if isinstance(headers, UnsetType)
            else options.headers | checked_headers(headers, self._endpoint),
            extra_mode=options.extra_mode if isinstance(extra_mode, UnsetType) else extra_mode,
            timeouts=options.timeouts if isinstance(timeouts, UnsetType) else timeouts,
            limits=options.limits if isinstance(limits, UnsetType) else limits,
        )
        return copy

    async def complete(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """One answer, when it is whole.

        Args:
            messages: a string (a user message), one message, or a sequence of both; Structs and dicts may be mixed.
            extra: fields outside the specification, merged at the root of the body. On `/models` endpoints the
                ``extra-parameters`` header goes with them.
            extra_mode: what that header says; ``pass-through`` where nothing else is set.
            headers: further headers for this call.
            timeouts: in place of the client's; only ``connect`` and ``total`` matter here.
            **options: ``model``, ``temperature``, ``top_p``, ``max_tokens``, ``stop``, ``seed``, ``tools``,
                ``tool_choice``, ``response_format`` and the others of `ChatOptions`; UNSET leaves one out, None sends
                null.

        Returns:
            The completion as the service sent it; a filtered or cut answer is a completion too, see `finish_reason`.

        Raises:
            ConfigurationError: something in the call cannot be sent; nothing was.
            CredentialError: the credential gave no token; nothing was sent.
            APIStatusError: the service refused; `ContentFilterError` if it refused the prompt.
            APIConnectionError: no answer came, or it was cut; `APITimeoutError` if it took too long.
            InvalidResponseError: what came is no answer.
            ClientStateError: the client is closed, or belongs to another event loop.

        Cancelling it cuts the connection; the service may have counted the tokens all the same.

        Source: the service's reference, "Get Chat Completions".
        """
        call = self._call(messages, options, extra, extra_mode, headers, stream=False)
        timeouts, limits = self._timeouts(timeouts), self._options.limits
        deadlines = self._session.begin(timeouts)
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(deadlines.until):
                exchange = await self._session.send(call, deadlines=deadlines, timeouts=timeouts, limits=limits)
                body = await exchange.body(limits.max_body_bytes)
        except TimeoutError as error:
            if isinstance(error, APITimeoutError):
                raise
            if deadlines.until is None or now() < deadlines.until:  # of a transport that raises what is not ours
                raise APIConnectionError("the transport gave up waiting") from error
            raise deadlines.error(now=now()) from None
        completion = exchange.completion(body)
        completion.meta = exchange.meta
        completion.meta.elapsed = now() - deadlines.started
        return completion

    def stream(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """The answer as it is made: see `ChatStream`, which is what to enter and iterate.

        Takes what `complete` takes. Nothing is sent before the stream is entered or iterated; what cannot be sent is
        refused here and now.

        Raises:
            ConfigurationError: something in the call cannot be sent.
        """
        call = self._call(messages, options, extra, extra_mode, headers, stream=True)
        return ChatStream(self._session, call, timeouts=self._timeouts(timeouts), limits=self._options.limits)

    async def aclose(self) -> None:
        """Close the connections; streams still running end in a `ClientClosedError`. Any number of times is fine."""
        if self._owner:
            await self._session.aclose()

    async def close(self) -> None:
        """The same as `aclose`, by aiohttp's and azure-core's name."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._endpoint.dialect} {self._endpoint.base} model={self._options.model!r}>"

    def _timeouts(self, given: Timeouts | None) -> Timeouts:
        if given is None:
            return self._options.timeouts
        _check_type("timeouts", given, Timeouts)
        return given

    def _call(
        self,
        messages: Messages,
        options: ChatOptions,
        extra: Mapping[str, object] | None,
        extra_mode: ExtraMode | None,
        headers: Mapping[str, str] | None,
        *,
        stream: bool,
    ) -> Call:
        own = self._options
        if own.model is not None:
            options.setdefault("model", own.model)
        sent = own.headers | checked_headers(headers, self._endpoint)
        if not self._may_send_credentials and not self._endpoint.credential_headers.isdisjoint(sent):
            raise ConfigurationError(_INSECURE.format(self._endpoint.base))
        return chat_call(
            self._endpoint,
            messages,
            options,
            stream=stream,
            extra=extra,
            extra_mode=extra_mode or own.extra_mode,
            headers=sent,
        )


def _understood(
    endpoint: str | Endpoint | None,
    dialect: Dialect | None,
    api_version: str | UnsetType | None,
    key_header: str | None,
) -> tuple[Endpoint, Settings]:
    """The endpoint, and what the environment says beside it."""
    if isinstance(endpoint, Endpoint):
        if (dialect, api_version, key_header) != (None, UNSET, None):
            raise ConfigurationError("got an Endpoint, and beside it dialect=, api_version= or key_header=")
        return endpoint, settings_for(endpoint, os.environ)
    settings = settings_from(os.environ)
    url = settings.endpoint if endpoint is None else endpoint
    if url is None:
        raise ConfigurationError(
            "got no endpoint: pass one, such as https://NAME.services.ai.azure.com/models, or set one of "
            + ", ".join(ENDPOINT_VARIABLES)
        )
    parsed = Endpoint.parse(url, dialect=dialect, api_version=api_version, key_header=key_header)
    return parsed, settings if endpoint is None else settings_for(parsed, os.environ)


_INSECURE: Final = (
    "got a credential for {}, which would go over plain http; use https, or say allow_insecure=True for the client"
)
_ELSEWHERE: Final[Mapping[str, str]] = {
    "timeout": "limits on time go in timeouts=Timeouts(total=...)",
    "api_key": "a key goes in credential=",
    "key": "a key goes in credential=",
    "base_url": "the address goes in endpoint=",
    "url": "the address goes in endpoint=",
    "azure_endpoint": "the address goes in endpoint=",
    "azure_deployment": "the deployment's name goes in model=",
    "credential_scopes": "the scope of tokens goes in scope=",
    "default_headers": "further headers go in headers={...}",
    "model_extras": "fields outside the specification go in extra={...} of each call",
}


def _refuse_unknown(unknown: Mapping[str, object]) -> None:
    for name in unknown:
        hint = _ELSEWHERE.get(name, "options of a request go in complete() and stream()")
        raise UnknownOptionError(f"got an unknown option {name!r} for the client: {hint}")
