"""What is right after each fault: the promise, the standards (RFC 9110, 9112, WHATWG SSE) and the API, as a table.

It was written down from these and not from what the client does. Where a standard leaves the choice, to take an odd
answer or to refuse it, a row names both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from inference_async import errors
from inference_async.emulator.golden import FINISH_REASON, TEXT

__all__ = ["EXPECTED", "KINDS", "Expected", "Kind", "Right", "Wrong"]

Kind: TypeAlias = Literal["complete", "stream"]
KINDS: Final[tuple[Kind, ...]] = ("complete", "stream")


@dataclass(frozen=True)
class Right:
    """The answer, and which.

    Attributes:
        text: its text.
        id: its id.
        finish: its finish reason.
        usage: whether it tells the usage.
        choices: how many choices it has.
        requests: how many requests the server saw.
    """

    text: str = TEXT
    id: str = "chatcmpl-golden"
    finish: str | None = FINISH_REASON
    usage: bool = True
    choices: int = 1
    requests: int = 1


@dataclass(frozen=True)
class Wrong:
    """An error, and which. Its request id is told by its status: the server sent one with the head that has it.

    Attributes:
        error: its class, and no other below it.
        status: of the answer, where one had begun.
        phase: how far the call had come, or the limit that struck.
        kind: of an `APIConnectionError`.
        retryable: whether the same call may well succeed later.
        code: the service's code.
        retry_after: seconds the service asks to wait; a pair if its clock, which ticks in seconds, has a say.
        partial: the text that had arrived.
        says: words of the message.
        requests: how many requests the server saw.
    """

    error: type[errors.InferenceError]
    status: int | None = None
    phase: str | None = None
    kind: str | None = None
    retryable: bool = False
    code: str | None = None
    retry_after: float | tuple[float, float] | None = None
    partial: str = ""
    says: str = ""
    requests: int = 1


Expected: TypeAlias = Right | Wrong | tuple[Right | Wrong, ...]

RIGHT: Final = Right()
ALL: Final = TEXT
ONE: Final = "Grüße"
TWO: Final = "Grüße aus"
SKIPPED: Final = "Grüße Köln."  # the second event says nothing of the text


# ---------------------------------------------------------------------------------------------------------------------
# Ways to fail

TOTAL: Final = Wrong(errors.TotalTimeoutError, phase="total", kind="timeout", retryable=True)
FIRST: Final = Wrong(errors.FirstTokenTimeoutError, phase="first_token", kind="timeout", retryable=True)
BETWEEN: Final = Wrong(
    errors.BetweenTokensTimeoutError, 200, phase="between_tokens", kind="timeout", retryable=True, partial=ONE
)
UNANSWERED: Final = Wrong(errors.APIConnectionError, phase="headers", kind="cut", retryable=True)
NOT_HTTP: Final = Wrong(errors.APIConnectionError, phase="headers", kind="protocol")
CUT: Final = Wrong(errors.APIConnectionError, 200, phase="body", kind="cut", retryable=True)
BROKEN: Final = Wrong(errors.APIConnectionError, 200, phase="body", kind="protocol")
INVALID: Final = Wrong(errors.InvalidResponseError, 200, phase="body")
INCOMPLETE: Final = Wrong(errors.IncompleteStreamError, 200, phase="body", retryable=True)
FAILED: Final = Wrong(errors.StreamError, 200, phase="body", partial=ONE)
TOO_LARGE: Final = Wrong(errors.EventTooLargeError, 200, phase="body")
ENGINE: Final = replace(FAILED, code="engine_failed", retryable=True, says="The engine failed")


def incomplete(partial: str) -> Wrong:
    return replace(INCOMPLETE, partial=partial)


def refused(status: int, code: str | None = None, *, retryable: bool = False, **fields: Any) -> Wrong:
    cls = errors.APIStatusError.for_status(status)
    return Wrong(fields.pop("error", cls), status, phase="headers", retryable=retryable, code=code, **fields)


EXPECTED: Final[dict[tuple[str, Kind], Expected]] = {}


def both(names: str, expected: Expected) -> None:
    """The same for a whole answer and a stream."""
    apart(names, expected, expected)


def stream(names: str, expected: Expected) -> None:
    """A fault of streams; who asks for the whole gets the good answer."""
    apart(names, RIGHT, expected)


def whole(names: str, expected: Expected) -> None:
    """A fault of whole answers; who asks for a stream gets the good one."""
    apart(names, expected, RIGHT)


def apart(names: str, complete: Expected, streamed: Expected) -> None:
    for name in names.split():
        for kind, expected in zip(KINDS, (complete, streamed), strict=True):
            assert (name, kind) not in EXPECTED, name
            EXPECTED[name, kind] = expected


# ---------------------------------------------------------------------------------------------------------------------
# Connections that give no answer

both("fine", RIGHT)
apart("mute", replace(TOTAL, requests=0), replace(FIRST, requests=0))
apart("silence", TOTAL, FIRST)
both("close-at-once reset-at-once", replace(UNANSWERED, requests=0))
both("close-unanswered reset-unanswered", UNANSWERED)

# Heads: RFC 9112 2 to 5, RFC 9110 15.2

both("interim-100 interim-103 interim-many", RIGHT)
both("switching", (refused(101), NOT_HTTP))  # nobody asked for another protocol
both("status-words status-short status-long status-negative version-garbage", NOT_HTTP)
both("version-9", (RIGHT, NOT_HTTP))  # RFC 9110 2.5: a higher version may be read as the highest that is known
both("no-reason", RIGHT)  # the reason is optional
both("line-feeds", (RIGHT, NOT_HTTP))  # RFC 9112 2.2: a recipient MAY take LF alone
both("carriage-returns", NOT_HTTP)
both("header-without-colon header-without-name", NOT_HTTP)
both("header-space", (RIGHT, NOT_HTTP))
both("header-folded", (RIGHT, NOT_HTTP))  # obsolete; a user agent is to read it as a space
both("header-nul header-cr", (RIGHT, NOT_HTTP))  # RFC 9110 5.5: rejected, or replaced
both("header-bytes header-twice media-twice cookies", RIGHT)
both("header-large header-huge headers-many", NOT_HTTP)  # over the bound of the parser
both("http-1.0", RIGHT)
both("http-0.9 http-2 other-protocol no-blank-line", NOT_HTTP)

# Framings: RFC 9112 6 and 7

both("chunked length until-close unframed chunk-per-byte chunk-extension chunk-zeros trailers", RIGHT)
# Two good chunks, and then none: what they held has arrived.
apart(
    "chunk-size-garbage chunk-size-negative chunk-size-huge chunk-size-empty chunk-size-wrong",
    BROKEN,
    replace(incomplete(TWO), retryable=True),
)
apart("chunk-unended", BROKEN, (incomplete(ONE), incomplete("")))  # what ends in nothing may not count
apart("chunk-line-feeds", (RIGHT, BROKEN, NOT_HTTP), (RIGHT, incomplete(ONE), incomplete(""), NOT_HTTP))
both("coding-unknown", NOT_HTTP)
both("chunked-twice", (RIGHT, NOT_HTTP))  # a sender must not
both("length-and-chunked", (RIGHT, NOT_HTTP))  # RFC 9112 6.3: ought to be handled as an error
apart("length-over", CUT, RIGHT)  # a stream has its [DONE] by then
# What comes in one read with bytes that are no HTTP may be refused together with them.
apart("length-under", INVALID, (RIGHT, NOT_HTTP))  # a stream lacks half of its [DONE], and has its finish reason
both("length-twice length-negative length-plus length-garbage length-huge", NOT_HTTP)
both("length-same-twice", (RIGHT, NOT_HTTP))  # RFC 9110 8.6: rejected, or taken as one

# Answers that are cut

both("cut-in-status cut-in-head reset-in-status reset-in-head", UNANSWERED)
apart("cut-after-head reset-after-head", CUT, incomplete(""))
apart("cut-in-event cut-in-chunk reset-in-event reset-in-chunk", CUT, incomplete(TWO))
apart("cut-between-events reset-between-events", CUT, incomplete(ALL))
both("cut-before-end reset-before-end", RIGHT)  # all bytes of the length, or [DONE], had come

# Silence

apart("stall-in-status stall-in-head", TOTAL, FIRST)
apart("stall-after-head", replace(TOTAL, status=200), replace(FIRST, status=200))
apart("stall-in-event stall-in-chunk", replace(TOTAL, status=200), replace(BETWEEN, partial=TWO))
apart("stall-between-events", replace(TOTAL, status=200), replace(BETWEEN, partial=ALL))
both("stall-before-end slow drip-head drip-body pings", RIGHT)
# What does not make the answer grow is no sign of life.
stream("pings-forever heartbeats-forever blank-lines-forever roles-forever", replace(FIRST, status=200))
stream("empty-deltas-forever no-choices-forever drip-forever", BETWEEN)
whole("spaces-forever", replace(TOTAL, status=200))
apart("interim-forever", TOTAL, FIRST)

# Streams that end in order, but not as they should

stream("unfinished", incomplete(ALL))
stream("no-done done-twice events-after-done done-without-blank-line done-without-newline", RIGHT)
stream("no-finish finish-null-text", Right(finish=None, usage=False))
stream("finish-empty", Right(finish=None))
stream("no-usage half-event-after-finish finish-without-blank-line finish-without-newline", Right(usage=False))
stream("no-events only-done only-pings", INCOMPLETE)
stream("one-choice-unfinished", incomplete("one"))
stream("half-event", incomplete(TWO))
stream("text-after-finish", Right(TEXT + " aus", usage=False))

# Events

stream("error-object error-event error-event-flat", ENGINE)
stream("error-text error-event-text", replace(FAILED, says="The engine failed"))
stream("error-in-chunk", replace(FAILED, status=502, code="502", retryable=True, says="Provider disconnected"))
stream("error-glued", replace(ENGINE, partial=TWO))
stream("error-first error-event-first", replace(ENGINE, partial=""))
stream("error-at-end error-after-finish", replace(ENGINE, partial=ALL))
stream("error-null unknown-event unnamed-field id-and-retry bare-data no-space data-lines index-null", RIGHT)
stream("crlf cr", RIGHT)
both("bom", RIGHT)
stream("glued-chunks", Right("Grüße aus Köln. Köln."))
stream("bad-event text-event null-event list-event string-event number-event", FAILED)
# The standard ignores fields that it does not know, and an event may say nothing.
stream("html-event empty-event delta-null delta-missing choices-empty", Right(SKIPPED))
stream("index-negative", RIGHT)  # there is but one choice that it can be
stream("index-huge", Right(SKIPPED, choices=2))

# Bodies that are no answer

both("html-200 html-as-answer text-200", INVALID)
apart("empty-200 bodiless-200", INVALID, INCOMPLETE)
stream("whole-for-stream stream-as-json stream-as-text media-latin-1", RIGHT)
whole("whole-as-text", RIGHT)
both("unlabelled media-garbage", RIGHT)
whole("stream-for-whole half-json message-missing message-null choices-none", INVALID)
apart("shape-null shape-list shape-string shape-number shape-bool", INVALID, FAILED)
apart("shape-other choices-null", INVALID, Right(SKIPPED))
apart("choices-string choices-number choices-object choice-null choice-string", INVALID, FAILED)
apart("message-string message-list calls-string", INVALID, FAILED)
# Another value where text is expected may be read as its JSON text, as codec.py says.
apart("content-number", (INVALID, Right("42", usage=False)), (FAILED, Right("Grüße42 Köln.")))
apart(
    "content-object",
    (INVALID, Right('{"text":"Grüße aus Köln."}', usage=False)),
    (FAILED, Right('Grüße{"text":"Grüße aus Köln."} Köln.')),
)
apart("finish-number", (INVALID, Right("x", finish="1", usage=False)), (FAILED, Right("Grüßex Köln.")))
apart("usage-string index-string", Right("x", usage=False), Right("Grüßex Köln."))

# JSON: RFC 8259

apart("invalid-utf-8", INVALID, Right("Grüße a\ufffd\ufffds Köln."))  # WHATWG: what is no UTF-8 is replaced
apart("cut-utf-8", INVALID, Right("Grüße a\ufffds Köln."))
apart("surrogate-bytes", INVALID, Right("Grüße a\ufffd\ufffd\ufffds Köln."))
both("lone-surrogate", (Right("Grüße a\ufffds Köln."), INVALID, FAILED))  # text that is handed out can be encoded
both("nul", Right("Grüße a\0s Köln."))
apart("control-character bad-escape nan infinity nan-created leading-zero", INVALID, FAILED)
apart("trailing-comma comment single-quotes python-none", INVALID, FAILED)
apart("overflow huge-integer", (RIGHT, INVALID), (RIGHT, FAILED))  # RFC 8259 6: a reader may set limits
both("float-created duplicate-keys unknown-fields", RIGHT)
apart("deep-lists deep-objects deep-unclosed", INVALID, FAILED)

# Content codings

both("gzip x-gzip deflate raw-deflate identity gzip-members", RIGHT)
apart("gzip-corrupt", BROKEN, incomplete(ONE))
apart("gzip-wrong-sum", BROKEN, (RIGHT, INCOMPLETE))
apart("gzip-cut", (CUT, BROKEN), incomplete(""))  # the half holds no whole event
apart("gzip-no-trailer", (CUT, BROKEN), RIGHT)  # a stream has its [DONE] by then
apart("gzip-trailing", (RIGHT, BROKEN), RIGHT)  # gzip's own tool ignores what comes behind
apart("gzip-label", BROKEN, INCOMPLETE)
both("gzip-unlabelled", INVALID)
both("gzip-twice br zstd coding-garbage", INVALID)  # not asked for

# Answers without bounds

apart("endless-text large-text bomb bomb-endless", INVALID, TOO_LARGE)
stream("endless-line endless-comment endless-data", TOO_LARGE)
stream("endless-pings", replace(FIRST, status=200))
stream("endless-events", replace(FAILED, partial="Grüße..."))
whole("endless-spaces", INVALID)
both("endless-error bomb-error", refused(500, retryable=True))
both("endless-header endless-headers", NOT_HTTP)
apart("endless-interim", (TOTAL, NOT_HTTP), (FIRST, NOT_HTTP))
apart("endless-extension", (replace(TOTAL, status=200), BROKEN), (replace(FIRST, status=200), INCOMPLETE))
apart("endless-trailers", (replace(TOTAL, status=200), BROKEN, NOT_HTTP), (RIGHT, NOT_HTTP))
apart("many-choices", INVALID, replace(FAILED, partial="x"))
apart("many-calls", INVALID, replace(FAILED, partial=""))

# Statuses

both("status-400", refused(400, "bad_request"))
both("status-400-content-filter", refused(400, "content_filter", error=errors.ContentFilterError))
both("status-400-extra-parameter", refused(400, says="extra_mode"))
both("status-401 status-401-expired", (refused(401), refused(401, "401")))
both("status-401-claims status-401-echo", refused(401, "401"))
both("status-403", refused(403, "PermissionDenied"))
both("status-404", refused(404, "DeploymentNotFound"))
both("status-404-serverless", refused(404, says="Serverless endpoint not found"))
both("status-404-html", refused(404))
both("status-405", refused(405))
both("status-499", refused(499))
both("status-408", refused(408, "Timeout", retryable=True))
both("status-409", refused(409, "Conflict", retryable=True))
both("status-413 status-413-early", refused(413, "RequestEntityTooLarge"))
both("status-422", refused(422, "parameter_not_supported"))
both("status-422-list", refused(422, says="frob"))
both("status-422-nested", refused(422, "Invalid input", says="frob"))
both("status-424", refused(424, "FailedDependency"))
both("status-429 status-429-code", refused(429, "429", retryable=True))
both("status-429-quota", refused(429, "insufficient_quota"))
both("status-500", refused(500, "InternalServerError", retryable=True))
both("status-500-text status-500-empty status-500-list", refused(500, retryable=True))
both("status-501", refused(501, "NotImplemented", retryable=True))
both("status-502", refused(502, "BadGateway", retryable=True))
both("status-503", refused(503, "ServiceUnavailable", retryable=True))
both("status-502-html", refused(502, retryable=True, says="/chat/completions: Bad Gateway gateway (request"))
both("status-503-html", refused(503, retryable=True))
both("status-504", refused(504, retryable=True))
both("status-524", refused(524, retryable=True))
both("status-529", refused(529, retryable=True, says="Busy"))
both("status-599", refused(599, retryable=True))
both("status-200-error", replace(refused(200, "InternalServerError"), phase="body"))
both("status-299", (RIGHT, refused(299)))  # RFC 9110 15: as 200; but only 200 is known to be an answer
both("status-204", refused(204))
both("status-205", refused(205))
both("status-304", refused(304))

# When to come again

LIMITED: Final = refused(429, "429", retryable=True)
both("retry-seconds retry-ms-garbage", replace(LIMITED, retry_after=1.0))
both("retry-zero", replace(LIMITED, retry_after=0.0))
both("retry-fraction retry-ms retry-x-ms retry-both", replace(LIMITED, retry_after=0.05))
both("retry-date", replace(LIMITED, retry_after=(0.0, 2.0)))
both("retry-skewed-date", replace(LIMITED, retry_after=(2.0, 2.0)))
both("retry-past-date", replace(LIMITED, retry_after=(0.0, 0.0)))
both("retry-impossible-date retry-garbage retry-empty retry-negative retry-nan retry-infinity retry-huge", LIMITED)
both("retry-should", LIMITED)
both("retry-words", replace(LIMITED, retry_after=37.0))
both("retry-day", replace(LIMITED, retry_after=86400.0))
both("retry-should-not", replace(LIMITED, retryable=False))
both("retry-503-seconds", refused(503, "ServiceUnavailable", retryable=True, retry_after=1.0))
both("retry-400-seconds", refused(400, "bad_request", retry_after=1.0))
both("retry-200-seconds", RIGHT)

# Redirects are not followed

for _status in (300, 301, 302, 303, 307, 308):
    both(f"redirect-{_status}", refused(_status, says="a redirect to elsewhere.invalid"))
both("redirect-same-origin redirect-nowhere redirect-loop redirect-garbage", refused(307))

# Connections that are used again: one call sees nothing of it

both("close-told close-untold reset-untold close-on-reuse reset-on-reuse", RIGHT)
both("stray-answer stray-newline", RIGHT)
both("stray-bytes stray-bytes-endless", (RIGHT, NOT_HTTP))
# Where it comes while the request is on its way nothing tells it from the answer; where it came before, it is refused.
both("stray-answer-first", (RIGHT, replace(NOT_HTTP, phase="connect"), Right(id="chatcmpl-stray")))
stream("bytes-after-done pings-after-done flood-after-done", RIGHT)


def acceptable(expected: Expected) -> tuple[Right | Wrong, ...]:
    """What a row accepts."""
    return expected if isinstance(expected, tuple) else (expected,)


def names(table: Mapping[tuple[str, Kind], Expected] = EXPECTED) -> Iterable[str]:
    """The faults that have a row."""
    return dict.fromkeys(name for name, _ in table)
