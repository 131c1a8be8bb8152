"""Every error this package raises, drawn as a tree by what the caller can do next.

::

    InferenceError
    ├── ConfigurationError          mend the call: endpoint, credential, messages, options (a ValueError)
    │   └── UnknownOptionError      mend the keyword, or pass it in extra={...} (a TypeError)
    ├── CredentialError             the credential gave no token; its own error is the cause
    ├── ClientStateError            mend the program: the client cannot be used here (a RuntimeError)
    │   ├── ClientClosedError       ... it was closed
    │   └── WrongEventLoopError     ... it belongs to another event loop, or there is no asyncio here
    ├── APIConnectionError          no answer came: name, connection, TLS, reset; `kind` says which
    │   └── APITimeoutError         ... in time (a TimeoutError); one class for each limit of `Timeouts`
    │       ├── PoolTimeoutError            no connection of `max_connections` became free
    │       ├── ConnectTimeoutError         name, TCP and TLS
    │       ├── FirstTokenTimeoutError      the answer did not begin
    │       ├── BetweenTokensTimeoutError   ... or did not go on
    │       └── TotalTimeoutError           the call as a whole, retries included
    ├── APIStatusError              the service refused; `status`, `code`, `headers`, `body` say why
    │   ├── BadRequestError         400
    │   │   └── ContentFilterError  400 by content safety; `content_filter` says which categories
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── UnprocessableEntityError 422
    │   ├── RateLimitError          429; `retry_after` in seconds where the service named one
    │   └── InternalServerError     500 and above
    ├── ResponseTypeError           the answer is none of the type asked for; `completion` holds it
    ├── InvalidResponseError        a 200 that is no answer: HTML, broken JSON, another shape
    ├── ToolError                   a tool failed, where a run of tools was asked to raise; its own error is the cause
    ├── ToolLoopError               the model still asked for tools in the last answer that `max_turns` allows
    └── StreamError                 the stream began and then failed; `partial` holds what had arrived
        ├── EventTooLargeError      ... with an event over the bound
        └── IncompleteStreamError   ... it ended before the answer did

All of them pickle. None of them holds a key or a token, nor a prompt unless the service repeats it in its answer; only
the two of tools hold the conversation, under `messages`, and never in their text. Those that only tests can meet are in
`inference_async.testing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .types import ChatCompletion, ContentFilterResults, Message

NoValue: TypeAlias = Literal["mismatch", "length", "content_filter", "refusal", "tool_calls", "empty"]
"""Why an answer is no value of the type that was asked for."""

ConnectionKind: TypeAlias = Literal[
    "dns", "connect", "tls", "certificate", "proxy", "cut", "protocol", "timeout", "pool", "other"
]
"""What went wrong with a connection."""

Phase: TypeAlias = Literal["pool", "connect", "headers", "body", "first_token", "between_tokens", "total"]
"""How far a call had come when it failed."""

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BetweenTokensTimeoutError",
    "ClientClosedError",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "ConnectTimeoutError",
    "ContentFilterError",
    "CredentialError",
    "EventTooLargeError",
    "FirstTokenTimeoutError",
    "IncompleteStreamError",
    "InferenceError",
    "InternalServerError",
    "InvalidResponseError",
    "NotFoundError",
    "PermissionDeniedError",
    "PoolTimeoutError",
    "RateLimitError",
    "ResponseTypeError",
    "StreamError",
    "ToolError",
    "ToolLoopError",
    "TotalTimeoutError",
    "UnknownOptionError",
    "UnprocessableEntityError",
    "WrongEventLoopError",
]


def without_frames(error: InferenceError) -> None:
    """Take the frames of this package from an error, and from those of ours behind it.

    They hold the answer as it came, and what reports errors may show the locals of frames. What they would tell is in
    the error already.
    """
    link: BaseException | None = error
    while isinstance(link, InferenceError):
        link.__traceback__ = None
        if link.__suppress_context__:
            link.__context__ = None
        link = link.__cause__


def drop_frames(error: BaseException) -> None:
    """Take the frames from an error of somebody else's, and from those behind it: they hold what nobody may see."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def _restore(cls: type[InferenceError], args: tuple[Any, ...], state: dict[str, Any]) -> InferenceError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class InferenceError(Exception):
    """The root: catching it catches everything this package raises on purpose.

    Attributes:
        message: one line, lower case: what was got, what was expected, what to do.
        request_id: the service's id of the request, where it sent one; else the id the client sent.
        status: the HTTP status, where an answer had begun.
        partial: what had arrived of a streamed answer, where one had begun.
        phase: how far the call had come: ``pool``, ``connect``, ``headers`` (sent, and no answer begun), ``body``; of a
            timeout, the limit that struck. None where nothing was sent.
        attempts: how many requests were sent for this call, retries included.
    """

    status: int | None = None
    partial: ChatCompletion | None = None
    phase: Phase | None = None
    attempts: int = 0

    @property
    def retryable(self) -> bool:
        """Whether the same call may well succeed if it is made again, later."""
        return False

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id

    def reword(self, message: str) -> None:
        """Say it in other words."""
        self.message = message
        self.args = (message,)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with `args` alone and fail on the keyword-only rest.
        return _restore, (type(self), self.args, self.__dict__)


class ConfigurationError(InferenceError, ValueError):
    """Something the caller gave cannot be sent; nothing was sent."""


class UnknownOptionError(ConfigurationError, TypeError):
    """A keyword that is no option of the service; the message names the nearest one."""


class CredentialError(InferenceError):
    """The credential gave no key or token; nothing was sent. Its own error, if it raised one, is the cause."""


class ClientStateError(InferenceError, RuntimeError):
    """The client, or the stream, cannot be used in this way now."""


class ClientClosedError(ClientStateError):
    """The client, or the stream, was closed."""


class WrongEventLoopError(ClientStateError):
    """The client was used outside the asyncio event loop that it belongs to."""


class APIConnectionError(InferenceError):
    """No answer came: the name did not resolve, or the connection was refused, cut or not trusted.

    Attributes:
        kind: ``dns``, ``connect`` (refused, unreachable), ``tls``, ``certificate`` (not trusted), ``proxy``, ``cut``,
            ``protocol`` (what came is not HTTP), ``timeout``, ``pool``, or ``other``.
        stale: the connection was one kept from an earlier call, and was closed by the other side before it answered
            with a single byte: the request was most likely not seen, and is sent once more by itself.
        begun: some bytes of an answer had come, though not all of its head.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ConnectionKind = "other",
        phase: Phase | None = None,
        stale: bool = False,
        begun: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.kind: ConnectionKind = kind
        self.phase = phase
        self.stale = stale
        self.begun = begun

    @property
    def retryable(self) -> bool:
        """Whether the same call may well succeed if it is made again: not with a certificate that is not trusted, nor
        with a server that does not speak HTTP.
        """
        return self.kind not in ("certificate", "protocol")


class APITimeoutError(APIConnectionError, TimeoutError):
    """No answer came in time; each limit of `Timeouts` has a class of its own below this one.

    Attributes:
        phase: the limit that struck: ``pool``, ``connect``, ``first_token``, ``between_tokens`` or ``total``.
        elapsed: seconds from the start of the call.
        chunks: how many chunks of the stream had arrived.
        partial: what had arrived, where a stream had begun.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Phase,
        elapsed: float,
        chunks: int = 0,
        partial: ChatCompletion | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, kind="pool" if phase == "pool" else "timeout", phase=phase, request_id=request_id)
        self.elapsed = elapsed
        self.chunks = chunks
        self.partial = partial

    @staticmethod
    def for_phase(phase: Phase) -> type[APITimeoutError]:
        """The class of a limit."""
        return _BY_PHASE.get(phase, APITimeoutError)


class PoolTimeoutError(APITimeoutError):
    """All of the client's `max_connections` were in use for longer than ``Timeouts.pool``; nothing was sent."""


class ConnectTimeoutError(APITimeoutError):
    """No connection (name, TCP, TLS) within ``Timeouts.connect``; nothing was sent."""


class FirstTokenTimeoutError(APITimeoutError):
    """A stream's answer did not begin within ``Timeouts.first_token`` of the request."""


class BetweenTokensTimeoutError(APITimeoutError):
    """A stream's answer did not go on within ``Timeouts.between_tokens``; comments and empty chunks do not count."""


class TotalTimeoutError(APITimeoutError):
    """The call, with its retries and waits, was not over within ``Timeouts.total``."""


_BY_PHASE: dict[Phase, type[APITimeoutError]] = {
    "pool": PoolTimeoutError,
    "connect": ConnectTimeoutError,
    "first_token": FirstTokenTimeoutError,
    "between_tokens": BetweenTokensTimeoutError,
    "total": TotalTimeoutError,
}


class APIStatusError(InferenceError):
    """The service answered, and the answer is a refusal.

    Attributes:
        status: the HTTP status; 200 where an error came in the body of a success.
        code: the service's code, as text, where it gave one.
        type: the service's type of error, where it gave one.
        param: the parameter the service complains about, where it named one.
        detail: the service's own words, cut at 2 KiB, control characters replaced.
        headers: the headers of the answer, names in lower case.
        body: the body, cut at 64 KiB.
        url: the address asked, without its query.
        retry_after: seconds to wait, where the service named them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        detail: str = "",
        code: str | None = None,
        type: str | None = None,  # noqa: A002  (the service's own word)
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: str = "",
        url: str = "",
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.status: int = status  # pyright: ignore[reportIncompatibleVariableOverride]  (narrower, and never set)
        self.phase = "headers"
        self.detail = detail
        self.code = code
        self.type = type
        self.param = param
        self.headers = dict(headers or {})
        self.body = body
        self.url = url
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the service may well answer the same call later: it says so itself, or the status does (408, 409,
        429, 500 and above; 424 where it hides one of these). Not when a quota is used up, which no short wait mends.
        """
        says = told_to_retry(self.headers)
        if says is not None:
            return says
        status = self.status
        if status == 424:  # the model of a managed endpoint failed, and its own status stands beside
            inner = self.headers.get("ms-azureml-model-error-statuscode", "")
            status = int(inner) if inner.isascii() and inner.isdigit() and len(inner) == 3 else status
        if status == 429:
            return not is_used_up(self.code, self.type)
        return status in (408, 409) or status >= 500

    @classmethod
    def for_status(cls, status: int) -> type[APIStatusError]:
        """The class of a status; a status without a class of its own falls back to this one."""
        if status >= 500:
            return InternalServerError
        return _BY_STATUS.get(status, APIStatusError)


# Words for a quota that is used up, as this service and others that speak its language spell them.
_EXHAUSTED = frozenset(
    {"insufficientquota", "quotaexceeded", "quotaexhausted", "billinghardlimitreached", "billingnotactive"}
)


def told_to_retry(headers: Mapping[str, str]) -> bool | None:
    """Whether the service says itself that the same call is worth sending again; None if it says neither."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def is_used_up(*names: str | None) -> bool:
    """Whether the code or the type of a 429 says that a quota is used up, which no short wait mends."""
    return any(_folded(name) in _EXHAUSTED for name in names)


def _folded(name: str | None) -> str:
    return "".join(filter(str.isalnum, name or "")).lower()


class BadRequestError(APIStatusError):
    """400: the request is not one that the service understands or accepts."""


class ContentFilterError(BadRequestError):
    """400: content safety refused the prompt; no model saw it. Or, with ``raise_on_filter``, it cut the answer.

    Attributes:
        content_filter: category -> result, with one shape for all; empty where the service named no category.
        categories: the same as the service sent it, such as ``{"hate": {"filtered": True, "severity": "high"}}``.
        completion: the answer as far as it came, where it was the answer that was cut; None for a refused prompt.
    """

    def __init__(
        self,
        message: str,
        *,
        content_filter: ContentFilterResults,
        categories: Mapping[str, Any] | None = None,
        completion: ChatCompletion | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.categories: dict[str, Any] = dict(categories or {})
        self.content_filter = content_filter
        self.completion = completion
        if completion is not None:
            self.phase = "body"
            self.attempts = completion.meta.attempts


class AuthenticationError(APIStatusError):
    """401: the key is wrong, or the token has expired or was made for another audience."""


class PermissionDeniedError(APIStatusError):
    """403: the identity is known and may not do this: role, network rule or quota policy."""


class NotFoundError(APIStatusError):
    """404: no such route, model or deployment."""


class ConflictError(APIStatusError):
    """409: the deployment is busy with a change, or still warming up."""


class UnprocessableEntityError(APIStatusError):
    """422: the parameter exists in the API and this model does not support it: drop it, or use another model."""


class RateLimitError(APIStatusError):
    """429: too many requests or tokens, or the quota is used up."""


class InternalServerError(APIStatusError):
    """500 and above: the fault is the service's, or a gateway's before it."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


class ResponseTypeError(InferenceError):
    """The answer is no value of the type that was asked for.

    Attributes:
        reason: ``mismatch`` (the text is no such value), ``length`` (it is cut), ``content_filter``, ``refusal`` (the
            model declined, in words of its own), ``tool_calls`` (it wants tools called first), or ``empty``.
        text: what the model said: the text, or the refusal.
        position: of a mismatch, where: a path such as ``$.cities[0].name``, or the character where the JSON breaks.
        completion: the whole answer.
        repaired: the answers before it that did not fit either, where ``repair=`` asked for more than one.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: NoValue,
        text: str,
        completion: ChatCompletion,
        position: str | None = None,
        repaired: Sequence[ChatCompletion] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.status = completion.meta.status or None
        self.phase = "body"
        self.attempts = completion.meta.attempts
        self.reason: NoValue = reason
        self.text = text
        self.position = position
        self.completion = completion
        self.repaired = list(repaired)


class InvalidResponseError(InferenceError):
    """The status said success and the body is no answer.

    Attributes:
        status: the HTTP status.
        body: the beginning of the body, cut at 2 KiB, control characters replaced.
    """

    def __init__(self, message: str, *, status: int = 200, body: str = "", request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.status: int = status  # pyright: ignore[reportIncompatibleVariableOverride]  (narrower, and never set)
        self.phase = "body"
        self.body = body


class ToolError(InferenceError):
    """A tool failed in a run with ``on_error="raise"``: unknown, called with what does not fit, too slow, or raising.

    Attributes:
        tool: the name the model called.
        call_id: the id of the call.
        messages: the whole history: it ends with the answer that asks for the call, and the results that were there.
        completion: that answer.
    """

    def __init__(
        self, message: str, *, tool: str, call_id: str, messages: Sequence[Message], completion: ChatCompletion
    ) -> None:
        super().__init__(message, request_id=completion.meta.request_id)
        self.attempts = completion.meta.attempts
        self.tool = tool
        self.call_id = call_id
        self.messages = list(messages)
        self.completion = completion


class ToolLoopError(InferenceError):
    """A run of tools reached its ``max_turns``, and the last answer still asks for tools.

    Attributes:
        messages: the whole history, which ends with that answer; ``messages[:-1]`` is fit for another run.
        completion: the last answer; its calls were not run.
    """

    def __init__(self, message: str, *, messages: Sequence[Message], completion: ChatCompletion) -> None:
        super().__init__(message, request_id=completion.meta.request_id)
        self.attempts = completion.meta.attempts
        self.messages = list(messages)
        self.completion = completion


class StreamError(InferenceError):
    """The stream began and then failed: an error event, an event that cannot be read, or one over the bound.

    Attributes:
        partial: everything that had arrived, as a completion whose ``finish_reason`` may be missing.
        status: the status that an error event named; else that of the answer, 200.
        code: the service's code, as text, where an error event gave one.
        type: the service's type of error, where an error event gave one.
    """

    def __init__(
        self,
        message: str,
        *,
        partial: ChatCompletion | None = None,
        code: str | None = None,
        type: str | None = None,  # noqa: A002  (the service's own word)
        status: int = 200,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.partial = partial
        self.phase = "body"
        self.status: int = status  # pyright: ignore[reportIncompatibleVariableOverride]  (narrower, and never set)
        self.code = code
        self.type = type

    @property
    def retryable(self) -> bool:
        """Whether the same call may well succeed if it is made again: the error event says that the service is busy or
        broken, rather than what is wrong with the call.
        """
        busy = any(_folded(name) in _BUSY for name in (self.code, self.type))
        return busy or self.status in (408, 409, 429) or self.status >= 500


_BUSY = frozenset(
    {
        "internalerror", "internalservererror", "overloaded", "overloadederror", "ratelimit", "ratelimiterror",
        "ratelimitexceeded", "ratelimitreached", "servererror", "serviceunavailable", "timeout", "toomanyrequests",
    }
)  # fmt: skip


class EventTooLargeError(StreamError):
    """An event of the stream, or a line of one, is over the bound of `Limits.max_event_bytes`."""


class IncompleteStreamError(StreamError):
    """The stream ended before the answer did: no finish reason, no ``[DONE]``, or the connection was cut."""

    @property
    def retryable(self) -> bool:
        """Yes: another try may come through whole."""
        return True
