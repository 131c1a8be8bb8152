"""`InferenceClient`: the front door."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never, Self, TypeAlias, TypeVar, Unpack, cast, overload

from .errors import ConfigurationError, InferenceError, ResponseTypeError, without_frames
from .given import INSECURE, Options, agreed, always, check_type, checked_defaults, refuse_unknown, understood
from .net.aiohttp import AiohttpTransport
from .net.auth import Credential, authoriser
from .net.session import Session
from .net.together import in_order
from .net.transport import Transport
from .net.trip import Exchange
from .policy.limits import Limits
from .policy.retry import RetryPolicy
from .policy.terms import Terms
from .policy.timeouts import Timeouts, short
from .stream import ChatStream, ParsedStream
from .types import (
    UNSET,
    ChatCompletion,
    ChatOptions,
    EmbeddingOptions,
    EmbeddingsResult,
    ImageEmbeddingInput,
    Messages,
    ModelInfo,
    OptionsBesideTools,
    ParsedCompletion,
    RawResponse,
    UnsetType,
)
from .types.base import is_mapping, is_whole
from .types.chat import ExtraMode
from .types.embeddings import EmbeddingInput
from .wire.embeddings import MAX_INPUTS, arranged, embedding_calls, image_embedding_call, joined, text_inputs
from .wire.endpoints import Dialect, Endpoint, variables_of
from .wire.request import (
    Call,
    Secret,
    chat_call,
    checked_extra,
    checked_headers,
    message_list,
    raw_call,
)
from .wire.response import filter_error

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

    from .structured import AnswerType
    from .tools import ChatClient, ToolLike, ToolRun

__all__ = ["InferenceClient"]

T = TypeVar("T")
ImageInput: TypeAlias = ImageEmbeddingInput | Mapping[str, str] | str


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
            ``AZURE_AI_CHAT_{ENDPOINT,KEY,MODEL}``, ``AZURE_AI_EMBEDDINGS_{ENDPOINT,KEY,MODEL}``,
            ``AZURE_OPENAI_{ENDPOINT,API_KEY,DEPLOYMENT}`` and ``OPENAI_{BASE_URL,API_KEY,MODEL}``. Credential and model
            come from the same set, if they are left out; a key that is set beside another host's endpoint is never
            used.
        credential: a key, an object with ``.key``, a credential of ``azure.identity`` or ``azure.identity.aio``, a
            callable that returns a token, or "default" for a ``DefaultAzureCredential``, which the first call makes and
            `aclose` closes; any other credential is its owner's to close. It goes to this endpoint only, and over plain
            http only to this machine.
        model: the deployment's name, for calls that name none.
        dialect: overrules what the URL says; see `Endpoint`.
        api_version: overrules the dialect's own; None sends none.
        key_header: overrules the header that carries a key, such as ``Ocp-Apim-Subscription-Key``.
        scope: overrules the scope of Entra ID tokens that the endpoint asks for.
        defaults: options of chats, such as ``{"temperature": 0, "max_tokens": 500}``, for calls that do not say
            otherwise; a call drops one by saying UNSET.
        extra: fields outside the specification for every chat; a call overrules them one by one.
        headers: further headers for every call.
        extra_mode: what the service shall do with parameters outside its specification, where nothing is said in
            the call: ``pass-through`` (the default), ``drop`` or ``error``.
        raise_on_filter: raise a `ContentFilterError` where content safety cut an answer, in place of returning it.
        timeouts: see `Timeouts`; all limits are finite unless set to None.
        retries: how often a call that failed is sent again by itself, or a `RetryPolicy`, which says when, too.
        limits: see `Limits`.
        max_connections: how many calls may hold a connection at once; the others wait for ``Timeouts.pool`` at most.
            None for no bound.
        allow_insecure: allow a credential over plain http to another machine.
        ssl: a context that trusts other authorities than the system's, as ``ssl.create_default_context(cafile=...)``
            makes one; TLS 1.2 at least. There is no other way to trust what the system does not.
        trust_env: go through the proxies that ``HTTPS_PROXY`` and its like name.
        proxy: go through this one, such as ``http://user:password@proxy:3128``.
        session: an aiohttp session to use in place of an own one; it is not closed by this client, and its proxies and
            TLS are its owner's.
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
        defaults: ChatOptions | None = None,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        extra_mode: ExtraMode | None = None,
        raise_on_filter: bool = False,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        limits: Limits | None = None,
        max_connections: int | None = None,
        allow_insecure: bool = False,
        ssl: ssl_module.SSLContext | None = None,
        trust_env: bool = False,
        proxy: str | None = None,
        session: aiohttp.ClientSession | None = None,
        transport: Transport | None = None,
        **unknown: Never,
    ) -> None:
        if isinstance(credential, str):
            credential = Secret(credential)  # for the locals of the frames of what is raised from here on
        refuse_unknown(unknown)
        if isinstance(credential, str) and credential.startswith(("https://", "http://")):
            raise ConfigurationError("got a URL as the credential; are endpoint and credential in each other's place?")
        if transport is not None and (session, ssl, proxy, trust_env) != (None, None, None, False):
            raise ConfigurationError("got transport= beside session=, ssl=, trust_env= or proxy=, which are not for it")
        key_name = variables_of(os.environ)[1] if endpoint is None else "AZURE_INFERENCE_CREDENTIAL"
        endpoint, settings = understood(endpoint, dialect, api_version, key_header)
        if credential is None:
            credential = settings.credential
        if credential is None and settings.token is not None:
            credential = always(settings.token)
        own_headers = checked_headers(headers, endpoint)
        if credential is None and endpoint.is_azure and endpoint.credential_headers.isdisjoint(own_headers):
            raise ConfigurationError(
                f'got no credential for {endpoint.host}: pass a key, an azure-identity credential or "default", or set '
                f"{key_name} (a key that is set beside another host's endpoint is not sent to this one)"
            )
        self._may_send_credentials = endpoint.is_secure or allow_insecure
        if credential is not None and not self._may_send_credentials:
            raise ConfigurationError(INSECURE.format(endpoint.base))
        self._endpoint = endpoint
        self._options = Options(
            model=settings.model if model is None else model,
            defaults=checked_defaults(defaults),
            extra=checked_extra(extra),
            headers=own_headers,
            extra_mode=extra_mode,
            raise_on_filter=raise_on_filter,
            terms=agreed(Terms(), timeouts=timeouts, limits=limits, retries=retries),
        )
        if max_connections is not None and (not is_whole(max_connections) or max_connections < 1):
            raise ConfigurationError(f"got max_connections={short(max_connections)}, expected 1 or more, or None")
        self._session = Session(
            transport or AiohttpTransport(session, ssl=ssl, trust_env=trust_env, proxy=proxy),
            authoriser(credential, endpoint, scope=scope),
            max_connections=max_connections,
        )
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
        defaults: ChatOptions | UnsetType = UNSET,
        extra: Mapping[str, object] | UnsetType = UNSET,
        headers: Mapping[str, str] | UnsetType = UNSET,
        extra_mode: ExtraMode | UnsetType | None = UNSET,
        raise_on_filter: bool | UnsetType = UNSET,
        timeouts: Timeouts | UnsetType = UNSET,
        retries: RetryPolicy | int | UnsetType = UNSET,
        limits: Limits | UnsetType = UNSET,
        **unknown: Never,
    ) -> InferenceClient:
        """A copy with other options, which shares connections and credential with this client.

        It is cheap: make one per call if that reads best. Closing a copy does nothing; closing the client closes all
        its copies. What is not named stays as it is.

        Args:
            model: the deployment's name, for calls that name none; None for no default.
            defaults: added to the client's own, and stronger than they; one that is UNSET drops the client's.
            extra: the same.
            headers: added to the client's own, and stronger than they.
            extra_mode: as for the client; None for the default.
            raise_on_filter: in place of the client's.
            timeouts: in place of the client's.
            retries: in place of the client's; a number leaves the rest of the client's policy as it is.
            limits: in place of the client's.

        Raises:
            ConfigurationError: a header that cannot be sent, or a value of another type.
        """
        refuse_unknown(unknown)
        options = self._options
        copy = object.__new__(type(self))
        copy._endpoint = self._endpoint
        copy._session = self._session
        copy._may_send_credentials = self._may_send_credentials
        copy._owner = False
        copy._options = Options(
            model=options.model if isinstance(model, UnsetType) else model,
            defaults=options.defaults
            if isinstance(defaults, UnsetType)
            else cast("ChatOptions", {**options.defaults, **checked_defaults(defaults)}),
            extra=options.extra if isinstance(extra, UnsetType) else options.extra | checked_extra(extra),
            raise_on_filter=options.raise_on_filter if isinstance(raise_on_filter, UnsetType) else raise_on_filter,
            headers=options.headers
            if isinstance(headers, UnsetType)
            else options.headers | checked_headers(headers, self._endpoint),
            extra_mode=options.extra_mode if isinstance(extra_mode, UnsetType) else extra_mode,
            terms=agreed(options.terms, timeouts=timeouts, limits=limits, retries=retries),
        )
        return copy

    @overload
    async def complete(
        self,
        messages: Messages,
        *,
        response_type: None = None,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion: ...

    @overload
    async def complete(
        self,
        messages: Messages,
        *,
        response_type: type[T],
        repair: int = 0,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ParsedCompletion[T]: ...

    @overload
    async def complete(
        self,
        messages: Messages,
        *,
        response_type: Any,
        repair: int = 0,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ParsedCompletion[Any]: ...

    async def complete(
        self,
        messages: Messages,
        *,
        response_type: Any = None,
        repair: int = 0,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """One answer, when it is whole.

        Args:
            messages: a string (a user message), one message, or a sequence of both; Structs and dicts may be mixed.
            response_type: ask for a value of this type: a Struct, dataclass, attrs class, TypedDict, pydantic model, or
                a builtin such as ``list[City]``. Its strict JSON schema goes out, ``completion.parsed`` comes back.
            repair: of a `response_type`, how often an answer that is none is sent back with what is wrong with it. Each
                is a call of its own, with its own time and its own cost; see `ParsedCompletion.repaired`.
            raise_on_filter: raise a `ContentFilterError` if content safety cut the answer, in place of returning one
                whose finish reason is ``content_filter``; the client's own choice if left out.
            extra: fields outside the specification, merged at the root of the body. On `/models` endpoints the
                ``extra-parameters`` header goes with them.
            extra_mode: what that header says; ``pass-through`` where nothing else is set.
            headers: further headers for this call.
            timeouts: in place of the client's; ``first_token`` and ``between_tokens`` do not matter here.
            retries: in place of the client's; 0 for a call that must not be sent twice. See `RetryPolicy`.
            **options: ``model``, ``temperature``, ``top_p``, ``max_tokens``, ``stop``, ``seed``, ``tools``,
                ``tool_choice``, ``response_format`` and the others of `ChatOptions`; UNSET leaves one out, also if the
                client has a default for it, None sends null.

        Returns:
            The completion as the service sent it; a filtered or cut answer is a completion too, see `finish_reason`.

        Raises:
            ConfigurationError: something in the call cannot be sent; nothing was.
            CredentialError: the credential gave no token; nothing was sent.
            APIStatusError: the service refused; `ContentFilterError` if it refused the prompt.
            APIConnectionError: no answer came, or it was cut; `APITimeoutError` if it took too long.
            InvalidResponseError: what came is no answer.
            ResponseTypeError: the answer is no value of the `response_type`; it holds the completion.
            ClientStateError: the client is closed, or belongs to another event loop.

        Cancelling it cuts the connection; the service may have counted the tokens all the same.

        Source: the service's reference, "Get Chat Completions".
        """
        answer = _answer_type(response_type, options, (self._options.extra, extra), repair=repair)
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        repaired: list[ChatCompletion] = []
        mismatch: ResponseTypeError | None = None
        while True:
            call = self._call(messages, options, extra, extra_mode, headers, stream=False)
            try:
                completion = await self._complete(call, terms, raise_on_filter=raise_on_filter)
            except InferenceError as error:
                without_frames(error)
                if mismatch is None:
                    raise
                raise error from mismatch  # which holds the answers that were paid for
            if answer is None:
                return completion
            from .structured import parsed_completion, repair_request

            try:
                return parsed_completion(completion, answer, repaired)
            except ResponseTypeError as error:
                if error.reason != "mismatch" or len(repaired) >= repair:
                    raise
                messages = [*message_list(messages), completion.message, repair_request(error)]
                repaired.append(completion)
                mismatch = error

    @overload
    def stream(
        self,
        messages: Messages,
        *,
        response_type: None = None,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream: ...

    @overload
    def stream(
        self,
        messages: Messages,
        *,
        response_type: type[T],
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ParsedStream[T]: ...

    @overload
    def stream(
        self,
        messages: Messages,
        *,
        response_type: Any,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ParsedStream[Any]: ...

    def stream(
        self,
        messages: Messages,
        *,
        response_type: Any = None,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """The answer as it is made: see `ChatStream`, which is what to enter and iterate.

        Takes what `complete` takes, but for ``repair``: what was shown cannot be mended. With a `response_type` it is a
        `ParsedStream`: `partial` shows the value as it grows, `parsed` is the value at the end. With `raise_on_filter`
        the `ContentFilterError` comes after the last chunk.

        Nothing is sent before the stream is entered or iterated; what cannot be sent is refused here and now.

        Raises:
            ConfigurationError: something in the call cannot be sent.
        """
        answer = _answer_type(response_type, options, (self._options.extra, extra))
        call = self._call(messages, options, extra, extra_mode, headers, stream=True)
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        raises = self._raises_on_filter(raise_on_filter)
        if answer is None:
            return ChatStream(self._session, call, terms=terms, raise_on_filter=raises)
        return ParsedStream(self._session, call, answer=answer, terms=terms, raise_on_filter=raises)

    @overload
    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Iterable[ToolLike],
        response_type: None = None,
        max_turns: int = 10,
        max_concurrency: int = 8,
        tool_timeout: float | None = 60.0,
        on_error: Literal["tell", "raise"] = "tell",
        stream: bool = False,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[OptionsBesideTools],
    ) -> ToolRun[ChatCompletion]: ...

    @overload
    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Iterable[ToolLike],
        response_type: type[T],
        max_turns: int = 10,
        max_concurrency: int = 8,
        tool_timeout: float | None = 60.0,
        on_error: Literal["tell", "raise"] = "tell",
        stream: bool = False,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[OptionsBesideTools],
    ) -> ToolRun[ParsedCompletion[T]]: ...

    @overload
    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Iterable[ToolLike],
        response_type: Any,
        max_turns: int = 10,
        max_concurrency: int = 8,
        tool_timeout: float | None = 60.0,
        on_error: Literal["tell", "raise"] = "tell",
        stream: bool = False,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[OptionsBesideTools],
    ) -> ToolRun[ParsedCompletion[Any]]: ...

    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Iterable[ToolLike],
        response_type: Any = None,
        max_turns: int = 10,
        max_concurrency: int = 8,
        tool_timeout: float | None = 60.0,
        on_error: Literal["tell", "raise"] = "tell",
        stream: bool = False,
        raise_on_filter: bool | None = None,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[OptionsBesideTools],
    ) -> ToolRun[ChatCompletion]:
        """Ask, run the tools the model calls, tell it the results, and ask again, until it answers without calls.

        ::

            completion = await client.run_tools("Do I need an umbrella in Oslo?", tools=[weather])

            async with client.run_tools(messages, tools=[weather], stream=True) as run:
                async for event in run:  # a ToolRunEvent: each chunk, each answer, each call begun and ended
                    ...

        The calls of an answer run concurrently. Each gets exactly one message back, in the order of the calls: the
        result as JSON text. A string that is a JSON object or array goes as it is; every other result is encoded. Only
        the first choice of an answer is looked at.

        Args:
            messages: as for `complete`.
            tools: what `tool` makes, or plain typed functions. A definition without a function (a `ToolDefinition`, or
                a dict) is offered to the model too; its calls end the run, and `ToolRun.open_calls` says which.
            response_type: of the final answer, as for `complete`; not beside definitions without a function, whose
                calls would end the run without one.
            max_turns: the most answers to ask for.
            max_concurrency: the most tools to run at a time.
            tool_timeout: the most seconds a call may take, where the tool has no ``timeout`` of its own; None for no
                limit. A sync function runs in a thread, which cannot be stopped: it is no longer waited for.
            on_error: what becomes of a call that fails, is unknown, too slow, has arguments that do not fit, or a
                result that has no JSON form. ``tell`` tells the model so, with type and text of the tool's own error,
                and the logger ``inference_async.tools`` the traceback; ``raise`` ends the run in a `ToolError`.
            stream: whether answers are streamed, as `AnswerChunk` events.
            raise_on_filter: as for `complete`.
            extra: as for `complete`.
            extra_mode: as for `complete`.
            headers: as for `complete`, for every request of the run.
            timeouts: as for `complete`, for each request of the run by itself.
            retries: the same.
            **options: those of `complete`, for every request of the run. A ``tool_choice`` that forces a call is sent
                in the first turn only; later turns get ``"auto"``, or the model could never answer.

        Returns:
            A run that has not begun: await it for the final completion, or iterate over its events; see `ToolRun`.

        Raises:
            ConfigurationError: a function that cannot be a tool, two tools of one name, a number out of its range, or
                something that cannot be sent.

        Awaiting or iterating raises what `complete` raises, `ToolError`, and `ToolLoopError` if the last answer that
        `max_turns` allows still asks for tools. Cancelling it cancels the tools that run, and waits for them.
        """
        from .structured import parsed_completion
        from .tools import run_tools

        answer = _answer_type(response_type, options, (self._options.extra, extra))
        if "tool_choice" in self._options.defaults:  # the run must know it, to relax one that forces a call
            options.setdefault("tool_choice", self._options.defaults["tool_choice"])
        return run_tools(
            cast("ChatClient", self),  # pyright matches no overloads with keywords unpacked from a TypedDict
            messages,
            tools=tools,
            finish=None if answer is None else partial(parsed_completion, answer=answer),
            max_turns=max_turns,
            max_concurrency=max_concurrency,
            tool_timeout=tool_timeout,
            on_error=on_error,
            stream=stream,
            raise_on_filter=raise_on_filter,
            extra=extra,
            extra_mode=extra_mode,
            headers=headers,
            timeouts=timeouts,
            retries=retries,
            **options,
        )

    async def embed(
        self,
        input: EmbeddingInput,  # noqa: A002  (the service's own word)
        *,
        batch_size: int = MAX_INPUTS,
        split: bool = True,
        max_concurrency: int = 8,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[EmbeddingOptions],
    ) -> EmbeddingsResult:
        """Embed texts: one vector for each, in the order of the texts.

        What does not fit into one request is sent in several, some at a time, and put together again.

        Args:
            input: one text, or many. Some hosts take lists of tokens in place of texts.
            batch_size: how many inputs one request may hold; set it for models that take fewer, Cohere's take 96.
            split: refuse more inputs than that, rather than send several requests.
            max_concurrency: how many requests may be under way at once.
            extra: see `complete`.
            extra_mode: see `complete`.
            headers: further headers for these requests.
            timeouts: in place of the client's, of each request.
            retries: the same.
            **options: ``model``, ``dimensions``, ``encoding_format``, ``input_type``; see `EmbeddingOptions`. The
                client's model is that of its chats unless a deployment of its own is named here.

        Returns:
            The vectors as ``result.vectors`` and, with their indices, as ``result.data``; usage is the sum. With
            ``encoding_format="base64"`` each vector is an ``array('f')``, and the answer takes less than half of the
            bytes.

        Raises:
            ConfigurationError: something in the call cannot be sent; nothing was.
            InferenceError: as of `complete`; the first request that fails ends the others.

        Cancelling it cuts all connections.

        Source: the service's reference, "Get Embeddings".
        """
        self._add_model(options)
        calls = embedding_calls(
            self._endpoint,
            text_inputs(input),
            options,
            batch_size=batch_size,
            split=split,
            extra=extra,
            extra_mode=extra_mode or self._options.extra_mode,
            headers=self._headers(headers),
        )
        encoding = {**options, **(extra or {})}.get("encoding_format")
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        try:
            results = await in_order(
                [partial(self._embed, call, count, encoding, terms) for call, count in calls], limit=max_concurrency
            )
        except InferenceError as error:
            without_frames(error)
            raise
        return joined(results)

    async def embed_images(
        self,
        input: ImageInput | Sequence[ImageInput],  # noqa: A002  (the service's own word)
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        **options: Unpack[EmbeddingOptions],
    ) -> EmbeddingsResult:
        """Embed images, with or without a text beside each: one vector for each, in their order.

        Args:
            input: one image, or many: ``await ImageEmbeddingInput.load("map.png")``, a dict with ``image`` and
                ``text``, or a data URL.
            extra: see `complete`.
            extra_mode: see `complete`.
            headers: further headers for this call.
            timeouts: in place of the client's.
            retries: the same.
            **options: see `EmbeddingOptions`.

        Raises:
            InferenceError: as of `complete`; `NotFoundError` where the endpoint embeds no images.

        Source: the service's reference, "Get Image Embeddings".
        """
        self._add_model(options)
        call, count = image_embedding_call(
            self._endpoint,
            input,
            options,
            extra=extra,
            extra_mode=extra_mode or self._options.extra_mode,
            headers=self._headers(headers),
        )
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        try:
            return await self._embed(call, count, {**options, **(extra or {})}.get("encoding_format"), terms)
        except InferenceError as error:
            without_frames(error)
            raise

    async def model_info(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
    ) -> ModelInfo:
        """Which model an endpoint holds, where it holds one: serverless endpoints and managed compute say so.

        Raises:
            NotFoundError: this endpoint does not say; most do not.
            InferenceError: as of `complete`.

        Source: the service's reference, "Get Info".
        """
        call = raw_call(self._endpoint, "GET", "info", headers=self._headers(headers))
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        try:
            return await self._model_info(call, terms)
        except InferenceError as error:
            without_frames(error)
            raise

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = UNSET,
        body: bytes = b"",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
    ) -> RawResponse:
        """Any request to this endpoint, for what this package has no method for.

        It has the client's credential, headers, limits and errors, and the endpoint's query.

        Args:
            method: such as ``GET``.
            path: below the endpoint's base, such as ``images/generations``; no other host can be reached.
            json: a body to be sent as JSON; Structs may be part of it.
            body: a body of bytes; say its content type in `headers`.
            params: a further query.
            headers: further headers.
            timeouts: in place of the client's.
            retries: the same. What the request does must bear being done twice, or this must be 0.

        Returns:
            Status, headers and body of any answer from 200 to 299.

        Raises:
            ConfigurationError: something in it cannot be sent; nothing was.
            APIStatusError: another status came.
            InferenceError: as of `complete`.
        """
        call = raw_call(
            self._endpoint, method, path, json=json, body=body, params=params, headers=self._headers(headers)
        )
        terms = agreed(self._options.terms, timeouts=timeouts, retries=retries)
        try:
            exchange, received = await self._session.whole(call, terms, Exchange.received)
        except InferenceError as error:
            without_frames(error)
            raise
        return RawResponse(body=received, meta=exchange.meta)

    async def aclose(self) -> None:
        """Close the connections; streams still running end in a `ClientClosedError`. Any number of times is fine."""
        if self._owner:
            await self._session.aclose()

    async def close(self) -> None:
        """The same as `aclose`, by aiohttp's and azure-core's name."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        self._session.check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_options"):  # a reporter shows the locals of a constructor that has refused its arguments
            return f"<{type(self).__name__}, never made>"
        return f"<{type(self).__name__} {self._endpoint.dialect} {self._endpoint.base} model={self._options.model!r}>"

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
        given: dict[str, Any] = {"model": UNSET if own.model is None else own.model, **own.defaults, **options}
        return chat_call(
            self._endpoint,
            messages,
            given,
            stream=stream,
            extra=own.extra | checked_extra(extra) if own.extra else extra,
            extra_mode=extra_mode or own.extra_mode,
            headers=self._headers(headers),
        )

    def _headers(self, given: Mapping[str, str] | None) -> dict[str, str]:
        """The headers of a call: the client's, and stronger than they the call's own."""
        sent = self._options.headers | checked_headers(given, self._endpoint)
        if not self._may_send_credentials and not self._endpoint.credential_headers.isdisjoint(sent):
            raise ConfigurationError(INSECURE.format(self._endpoint.base))
        return sent

    def _add_model(self, options: EmbeddingOptions) -> None:
        if self._options.model is not None:
            options.setdefault("model", self._options.model)

    async def _complete(self, call: Call, terms: Terms, *, raise_on_filter: bool | None) -> ChatCompletion:
        raises = self._raises_on_filter(raise_on_filter)
        exchange, completion = await self._session.whole(call, terms, Exchange.completion)
        completion.meta = exchange.meta
        error = filter_error(completion, url=call.url, secrets=exchange.secrets) if raises else None
        if error is not None:
            raise error
        return completion

    async def _model_info(self, call: Call, terms: Terms) -> ModelInfo:
        exchange, info = await self._session.whole(call, terms, Exchange.model_info)
        info.meta = exchange.meta
        return info

    def _raises_on_filter(self, given: bool | None) -> bool:
        if given is None:
            return self._options.raise_on_filter
        check_type("raise_on_filter", given, bool)
        return given

    async def _embed(self, call: Call, count: int, encoding: object, terms: Terms) -> EmbeddingsResult:
        async def vectors(exchange: Exchange, body: bytes) -> EmbeddingsResult:
            try:
                return arranged(await exchange.embeddings(body), count, encoding)
            except ValueError as error:
                raise exchange.not_an_answer(str(error), body, expected="list of embeddings") from None

        exchange, result = await self._session.whole(call, terms, vectors)
        result.meta = exchange.meta
        return result


def _answer_type(
    response_type: Any, options: OptionsBesideTools, extras: tuple[object, ...], *, repair: int = 0
) -> AnswerType[Any] | None:
    """What an answer shall be; the options are told of it."""
    if not is_whole(repair) or repair < 0:
        raise ConfigurationError(f"got repair={repair!r}, expected how often an answer may be sent back")
    if response_type is None:
        if repair:
            raise ConfigurationError("got repair= without response_type=, which says what a good answer is")
        return None
    has_format = options.get("response_format", UNSET) is not UNSET
    if has_format or any(is_mapping(extra) and "response_format" in extra for extra in extras):
        raise ConfigurationError("got both response_type= and response_format=, expected one of them")
    from .structured import AnswerType  # and the rest of its room, which most programs never need

    answer = AnswerType[Any].of(response_type)
    options["response_format"] = answer.format
    return answer
