"""Replies to results: a completion, or the one error that fits.

Pure functions of (status, headers, body). The hosts behind these endpoints word their errors in more than a dozen
shapes, and label them with any content type; `describe_error` reads them all and never fails itself.
"""

from __future__ import annotations

import base64
import email.utils
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypedDict, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from ..errors import APIStatusError, ContentFilterError, InvalidResponseError, is_used_up, told_to_retry
from ..policy.limits import DEFAULT_LIMITS, Limits
from ..types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    ContentFilterResults,
    EmbeddingsResult,
    ModelInfo,
    ResponseMeta,
)
from ..types.base import is_array, is_object
from ..types.chat import folded_reason
from ..types.safety import results_in
from .accumulate import name_calls
from .codec import BoundError, DecodeFailure, decode_completion, decode_embeddings, decode_json, lenient

__all__ = [
    "CLIENT_REQUEST_ID",
    "ErrorDescription",
    "completion_from",
    "describe_error",
    "embeddings_from",
    "error_from",
    "excerpt",
    "filter_error",
    "head_of",
    "meta_from",
    "model_info_from",
    "not_an_answer",
    "redact",
    "request_id_of",
    "retry_after_of",
    "without_query",
]

T = TypeVar("T", bound=msgspec.Struct)

CLIENT_REQUEST_ID: Final = "x-ms-client-request-id"
_REQUEST_IDS: Final = ("x-request-id", "apim-request-id", "x-ms-request-id", CLIENT_REQUEST_ID)
_MAX_DETAIL: Final = 2048
_SHORTEST_SECRET: Final = 6  # what is shorter stands in ordinary words too, and protects nothing
_HEAD: Final = 16
_USUAL: Final = re.compile(r"[A-Za-z0-9+/=._~-]*")
_EITHER_ALPHABET: Final = re.compile(r"[+/]")  # base64 has two alphabets, which spell these in other ways
_ANY_USUAL: Final = r"(?:[A-Za-z0-9+/=._~-]|\\{1,3}(?:u[0-9a-fA-F]{4}|[A-Za-z0-9+/=._~-])|%(?:25)?[0-9a-fA-F]{2})"
_SHORT_ESCAPES: Final[Mapping[str, str]] = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_LONGEST_FORM: Final = 12  # characters that an escaped character of a secret may take: a surrogate pair
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_WAIT: Final = re.compile(
    r"\b(?:retry|try again)\s+(?:after|in)\s+([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(ms|milliseconds?|s|seconds?)\b",
    re.IGNORECASE,
)
_BOM: Final = b"\xef\xbb\xbf"
_MAX_NAME: Final = 200
_MAX_PAGE: Final = 8 * 1024
_MAX_BODY: Final = 64 * 1024
# What moves a terminal's cursor, ends a line, or turns the direction of what follows.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_TAGS: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


class ErrorDescription(NamedTuple):
    """What an error body says, whatever its shape; empty where it says nothing."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    categories: Mapping[str, Any] | None = None


def completion_from(
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    secrets: tuple[str, ...] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> ChatCompletion:
    """The completion in the body of a success.

    Raises:
        APIStatusError: the body is an error all the same.
        InvalidResponseError: it is neither, or over one of the `limits`.
    """
    body = body.removeprefix(_BOM)
    reply: _Reply = {"status": status, "headers": headers, "body": body, "url": url, "secrets": secrets}
    try:
        completion = decode_completion(body, limits.max_body_values)
    except BoundError as error:
        raise _over_a_bound(error, "chat completion", reply) from None
    except DecodeFailure:
        completion = ChatCompletion()
    if not completion.choices:
        completion = _slowly(body, ChatCompletion, "choices", "chat completion", reply, limits)
    choices = completion.choices
    if not choices:
        raise not_an_answer("JSON without a choice", expected="chat completion", **reply)
    if len(choices) > limits.max_choices:
        raise _too_many(len(choices), "choices", limits.max_choices, reply)
    for choice in choices:
        calls = choice.message.tool_calls
        if len(calls) > limits.max_tool_calls:
            raise _too_many(len(calls), "tool calls", limits.max_tool_calls, reply)
        if calls:
            name_calls(calls)
        elif _says_nothing(choice) and not _has_messages(body):
            raise not_an_answer("a choice without a message", expected="chat completion", **reply)
        if choice.index < 0:
            choice.index = 0  # none comes before the first
    if len(choices) > 1:
        choices.sort(key=lambda choice: choice.index)
    return completion


class _Reply(TypedDict):
    """What an error says of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    secrets: tuple[str, ...]


def _too_many(count: int, what: str, most: int, reply: _Reply) -> InvalidResponseError:
    name = f"max_{what.replace(' ', '_')}"
    return not_an_answer(f"{count:,} {what} ({name} is {most:,})", expected="chat completion", **reply)


_NO_MESSAGE: Final = AssistantMessage()


def _says_nothing(choice: Choice) -> bool:
    """Whether a choice may lack its message; what content safety cut has none, and is an answer all the same."""
    return choice.message == _NO_MESSAGE and folded_reason(choice.finish_reason) != "content_filter"


def _has_messages(body: bytes) -> bool:
    """Whether each choice of an answer that can be read has a message, which may say nothing."""
    return all(is_object(choice.get("message")) for choice in decode_json(body)["choices"])


def filter_error(completion: ChatCompletion, *, url: str, secrets: tuple[str, ...] = ()) -> ContentFilterError | None:
    """The error for an answer that content safety cut, for those who asked for one; None if it cut none."""
    reasons = ((choice, folded_reason(choice.finish_reason)) for choice in completion.choices)
    cut = next((choice for choice, reason in reasons if reason == "content_filter"), None)
    if cut is None:
        return None
    hits = ", ".join(cut.content_filter.filtered)
    meta = completion.meta
    return ContentFilterError(
        f"content safety cut the answer of {without_query(url)}" + (f" for {hits}" if hits else ""),
        content_filter=cut.content_filter,
        categories=cut.content_filter_results,
        completion=completion,
        status=meta.status,
        code="content_filter",
        headers={name: redact(value, secrets) for name, value in meta.headers.items()},
        url=without_query(url),
        request_id=meta.request_id,
    )


def embeddings_from(
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    secrets: tuple[str, ...] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> EmbeddingsResult:
    """The vectors in the body of a success, as they were sent.

    Raises:
        APIStatusError: the body is an error all the same.
        InvalidResponseError: it is neither, or over one of the `limits`.
    """
    body = body.removeprefix(_BOM)
    reply: _Reply = {"status": status, "headers": headers, "body": body, "url": url, "secrets": secrets}
    try:
        result = decode_embeddings(body, limits.max_body_values)
        if result.data:
            return result
    except BoundError as error:
        raise _over_a_bound(error, "list of embeddings", reply) from None
    except DecodeFailure:
        pass
    return _slowly(body, EmbeddingsResult, "data", "list of embeddings", reply, limits)


def model_info_from(
    *, status: int, headers: Mapping[str, str], body: bytes, url: str, secrets: tuple[str, ...] = ()
) -> ModelInfo:
    """What the body of a success says of the model.

    Raises:
        APIStatusError: the body is an error all the same.
        InvalidResponseError: it is neither.
    """
    body = body.removeprefix(_BOM)
    reply: _Reply = {"status": status, "headers": headers, "body": body, "url": url, "secrets": secrets}
    info = _slowly(body, ModelInfo, None, "description of a model", reply, DEFAULT_LIMITS)
    if not (info.model_name or info.model_type):
        raise not_an_answer("JSON that is no description of a model", expected="description of a model", **reply)
    return info


def _slowly(body: bytes, cls: type[T], rows: str | None, noun: str, reply: _Reply, limits: Limits) -> T:
    """An answer that is out of the ordinary, or none.

    Args:
        body: the body of a success.
        cls: the answer's class.
        rows: the field that makes it one: a list, which some hosts send as null.
        noun: what it is, in words.
        reply: what the error says of it.
        limits: bounds the values.
    """
    try:
        obj = decode_json(body, limits.max_body_values)
    except BoundError as error:
        raise _over_a_bound(error, noun, reply) from None
    except DecodeFailure as error:
        raise not_an_answer(f"a body that is not JSON ({error})", expected=noun, **reply) from None
    if is_object(obj) and obj.get("error"):
        raise error_from(**reply)
    if not is_object(obj) or (rows is not None and not is_array(obj.get(rows, "none") or [])):
        raise not_an_answer(f"JSON that is no {noun}", expected=noun, **reply)
    try:
        return lenient(obj, cls)
    except (msgspec.ValidationError, RecursionError) as error:
        raise not_an_answer(f"JSON of another shape ({error})", expected=noun, **reply) from None


def _over_a_bound(error: BoundError, noun: str, reply: _Reply) -> InvalidResponseError:
    what = f"JSON of {error}, which is not read (max_body_values bounds the values, the depth is fixed)"
    return not_an_answer(what, expected=noun, **reply)


def meta_from(status: int, headers: Mapping[str, str], client_request_id: str | None, elapsed: float) -> ResponseMeta:
    """What the transport knows of an answer."""
    return ResponseMeta(
        status=status,
        request_id=request_id_of(headers) or client_request_id,
        client_request_id=client_request_id,
        headers=dict(headers),
        elapsed=elapsed,
    )


def error_from(
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    secrets: tuple[str, ...] | None = None,
    model: str | None = None,
) -> APIStatusError:
    """The error that an answer is.

    Args:
        status: the HTTP status; where it is a success, a status found in the body takes its place.
        headers: names in lower case.
        body: as far as it was read.
        url: the address asked.
        secrets: values that must not appear in the error, should the service repeat them: the credentials that were
            sent, so that none at all means that none was.
        model: the deployment that was asked, if the call named one.
    """
    none_sent = secrets == ()
    secrets = secrets or ()
    text = head_of(body.removeprefix(_BOM), secrets)  # first: what is cut or cleaned hides a secret half
    headers = {name: redact(value, secrets) for name, value in headers.items()}
    found = describe_error(text.encode("utf-8", "replace"))
    if status < 300 and found.status:
        status = found.status
    where = without_query(url)
    detail = found.message
    retry_after = retry_after_of(headers)
    if retry_after is None and status == 429:
        retry_after = _asked_in_words(detail)
    request_id = request_id_of(headers)
    filtered = status in (200, 400) and (found.code == "content_filter" or found.categories is not None)
    notes = [f"code {found.code}"] if found.code and found.code != str(status) else []
    notes += [f"request id {_clean(request_id, _MAX_NAME)}"] if request_id else []
    redirects = 300 <= status < 400
    to = f", a redirect to {_target_of(headers.get('location'), where)}" if redirects else ""
    said = f"{to}: {detail.rstrip('.')}" if detail else to or " without a reason"
    noted = f" ({', '.join(notes)})" if notes else ""
    advice = _advice(status, found, headers, where, retry_after, filtered=filtered)
    if status == 422:
        advice = advice.replace("this model", f"the model {_clean(model, _MAX_NAME)!r}" if model else "this model")
    if status == 401 and none_sent:
        advice = "no credential was sent: pass one as credential="
    fields: dict[str, Any] = {
        "status": status,
        "detail": detail,
        "code": found.code,
        "type": found.type,
        "param": found.param,
        "headers": headers,
        "body": text[:_MAX_BODY],
        "url": where,
        "retry_after": retry_after,
        "request_id": request_id,
    }
    message = f"got {status} from {where}{said}{noted}" + (f"; {advice}" if advice else "")
    if filtered:
        results = ContentFilterResults(found.categories)
        return ContentFilterError(message, categories=found.categories, content_filter=results, **fields)
    return APIStatusError.for_status(status)(message, **fields)


def not_an_answer(
    what: str,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    secrets: Iterable[str] = (),
    expected: str = "chat completion",
) -> InvalidResponseError:
    """The error for a success whose body is no answer."""
    where = without_query(url)
    kind = _clean(redact(headers.get("content-type", "no content type"), secrets), _MAX_NAME)
    head = _clean(head_of(body, secrets, _MAX_PAGE), _MAX_DETAIL) or "(empty)"
    return InvalidResponseError(
        f"got {status} from {where} with {what}, labelled {kind}: {_clean(head, 200)}; "
        f"expected a {expected}: is this the address of the API?",
        status=status,
        body=head,
        request_id=request_id_of(headers),
    )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id under which the service knows the request."""
    for name in _REQUEST_IDS:
        if found := headers.get(name):
            return found
    return None


def without_query(url: str) -> str:
    """An address fit for a message: its query may hold a key."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds the service asks to wait, from ``retry-after-ms``, ``x-ms-retry-after-ms`` or ``retry-after``.

    A date counts from the answer's own ``date`` header, so that this machine's clock has a say only where there is
    none. Nonsense, negative and endless values are no answer.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value if _NUMBER.fullmatch(value) else "") / scale
        except ValueError:
            until = _date(value)
            if until is None:
                continue
            now = _date(headers.get("date", "")) or datetime.now(UTC)
            seconds = max(0.0, (until - now).total_seconds())
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _asked_in_words(detail: str) -> float | None:
    """Seconds that a message asks to wait, as "Please retry after 37 seconds" does; often they stand nowhere else."""
    found = _WAIT.search(detail)
    if found is None:
        return None
    return float(found[1]) / (1000.0 if found[2].lower().startswith("m") else 1.0)


def describe_error(body: bytes) -> ErrorDescription:
    """What an error body says; the content type is no help, so JSON is tried first, then text without its tags."""
    try:
        obj = decode_json(body)
    except DecodeFailure:
        return ErrorDescription(_clean(_shown(body[:_MAX_PAGE].decode("utf-8", "replace")), _MAX_DETAIL))
    try:
        found = _describe(obj)
    except RecursionError:  # by the repr of a deep value
        return ErrorDescription(excerpt(body))
    return found._replace(
        message=_clean(found.message, _MAX_DETAIL),
        code=_clean(found.code, _MAX_NAME) if found.code else None,
        type=_clean(found.type, _MAX_NAME) if found.type else None,
        param=_clean(found.param, _MAX_NAME) if found.param else None,
    )


def excerpt(data: bytes, limit: int = 200) -> str:
    """The beginning of a body, fit to stand in a message."""
    return _clean(data[: limit * 4].decode("utf-8", "replace"), limit) or "(empty)"


def _shown(page: str) -> str:
    """What a page of HTML shows, or a plain text: the title of a page is often its heading too, and is kept once."""
    pieces = [" ".join(piece.split()) for piece in _TAGS.split(page)[::2]]  # between them, what `_TAGS` captures
    first, *rest = list(filter(None, pieces)) or [""]
    return " ".join([first, *(piece for piece in rest if piece != first)])


def _describe(obj: Any, *, nested: bool = False) -> ErrorDescription:
    while is_array(obj) and obj:
        obj = obj[0]
    if isinstance(obj, str):
        return ErrorDescription(obj)
    if not is_object(obj):
        return ErrorDescription()
    inner = obj.get("error")
    base: dict[str, Any] = inner if is_object(inner) else obj
    detail = base.get("detail", base.get("details"))
    message = next((base[key] for key in ("message", "error_description", "msg") if _filled(base.get(key))), "")
    code = _text(base.get("code"))
    if isinstance(inner, str) and inner.strip():
        message = message or inner
        code = code or (inner if " " not in inner.strip() else None)
    said, param = _read_detail(detail)
    message = message or said or (base["status"] if _filled(base.get("status")) else "")
    if said and said not in message:
        message = f"{message.rstrip('. ')} ({said})"
    found = ErrorDescription(
        message=message,
        code=code,
        type=_text(base.get("type")),
        param=_text(base.get("param")) or param,
        status=_status(base.get("status"), base.get("code"), obj.get("status"), obj.get("statusCode")),
        categories=_categories(base) or _categories(obj),
    )
    return found if nested else _unwrap(found)


def _unwrap(found: ErrorDescription) -> ErrorDescription:
    """Some gateways put the whole error of the model server, as JSON, into their own message: read that, once."""
    if not found.message.lstrip().startswith("{"):
        return found
    try:
        obj = decode_json(found.message.encode())
    except (*DecodeFailure, UnicodeEncodeError):
        return found
    deeper = _describe(obj, nested=True)
    if not deeper.message:
        return found
    return found._replace(**{name: value for name, value in deeper._asdict().items() if value})


def _read_detail(detail: Any) -> tuple[str, str | None]:
    """A ``detail``: text, an object, or a list of objects that each name a place and a complaint."""
    if isinstance(detail, str):
        return detail, None
    rows = [row for row in (detail if is_array(detail) else [detail]) if is_object(row)]
    said: list[str] = []
    param = None
    for row in rows:
        loc = row.get("loc")
        path = [str(step) for step in loc if step != "body"] if is_array(loc) else []
        place = ".".join(path)
        param = param or place or None
        complaint = row.get("msg") or row.get("message")
        if complaint is None and path[:1] != ["messages"]:  # which would be the prompt
            got = row.get("input", row.get("value"))
            complaint = f"got {got!r}" if isinstance(got, str | int | float | bool) else None
        said.append(": ".join(str(part) for part in (place, complaint) if part))
    return "; ".join(part for part in said if part), param


def _categories(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The filter's verdicts; errors spell the key without the s, answers with it, and one sample mixes them up."""
    for _ in range(3):
        found = results_in(obj)
        if found is not None:
            return found
        inner = obj.get("innererror")
        if not is_object(inner):
            return None
        obj = inner
    return None


def _advice(
    status: int,
    found: ErrorDescription,
    headers: Mapping[str, str],
    url: str,
    retry_after: float | None,
    *,
    filtered: bool,
) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, so that the key and the prompt stay with one host: check the endpoint's URL"
    if filtered:
        hits = ContentFilterResults(found.categories).filtered
        return "content safety refused the prompt" + (f" for {', '.join(hits)}" if hits else "")
    if status == 400 and "xtra parameters" in found.message:
        return "extra_mode='pass-through' hands them to the model, extra_mode='drop' leaves them out"
    if found.code == "no_model_name":
        return "name the deployment with model=, for the call or for the client"
    if status == 404 and url.endswith("/info"):
        return "only serverless endpoints and managed compute say which model they hold"
    if status == 404 and url.endswith("/images/embeddings"):
        return "only /models, serverless endpoints and managed compute embed images"
    route = next((route for route in _SUPERSEDED if f"{route}/" in urlsplit(url).path), None)
    if status == 404 and route is not None:
        return (
            f"check the endpoint and the deployment's name; the {route} route is superseded, "
            "and /openai/v1 of the same host is its successor"
        )
    if status == 429 and is_used_up(found.code, found.type) and not told_to_retry(headers):
        return (
            "the quota is used up, and waiting does not help, so this is not sent again: raise the quota in the "
            "portal, or use another deployment"
        )
    if status == 429 and retry_after is not None:
        return f"the service asks to wait {retry_after:g} s"
    return _ADVICE.get(status, "the fault is the service's: try again later" if status >= 500 else "")


_SUPERSEDED: Final = ("/openai/deployments", "/models")
_ADVICE: Final[Mapping[int, str]] = {
    401: "check the key, or the audience and the expiry of the token",
    403: "check the role of the identity, and the network rules of the resource",
    404: "check the endpoint and the deployment's name",
    405: "the route does not fit the model: is it a chat model?",
    413: "the request is too large",
    422: "this model does not take the parameter, or not that value: mend it, leave it out, or use another model",
    429: "slow down, or ask for more quota",
}


def _target_of(location: str | None, url: str) -> str:
    """The host that a redirect of this address leads to."""
    try:
        target = urlsplit(urljoin(url, location)).netloc.rpartition("@")[2] if location else ""
    except ValueError:
        target = ""
    return _clean(target, _MAX_NAME) or "no host at all"


def _filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list) or value == "":
        return None
    return str(value)


def _status(*values: Any) -> int | None:
    for value in values:
        is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3
        number = int(value) if is_number else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
    return None


def _date(value: str) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else None


def head_of(data: bytes, secrets: Iterable[str], size: int = _MAX_BODY) -> str:
    """The beginning of a body as text, without the secrets: a long body costs no more than a short one.

    Args:
        data: the body; bad UTF-8 in it is replaced.
        secrets: see `redact`.
        size: bytes to keep, about.
    """
    secrets = tuple(secrets)
    overlap = _LONGEST_FORM * max(map(len, secrets), default=0)
    text = redact(data[: size + overlap].decode("utf-8", "replace"), secrets)
    # The last characters may be a secret that is cut, and so was not found.
    return text if len(data) <= size + overlap else text[: len(text) - overlap]


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets: plain, in base64, or in any way in which JSON or an address may escape them."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            pattern, heads = _pattern(secret)
            if _may_hold(text, heads):
                text = pattern.sub("[secret]", text)
    return text


def _may_hold(text: str, heads: tuple[str, ...]) -> bool:
    """Whether it is worth searching: where nothing is escaped, a form of a secret begins with one of these."""
    for head in heads:
        if head in text:
            return True
    return "\\" in text or "%" in text


@lru_cache(maxsize=16)
def _pattern(secret: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """What a secret looks like, and how each of its forms begins where nothing is escaped."""
    forms = [secret]
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):  # base64 cuts every three bytes, and something may stand before the secret
        encoded = base64.b64encode(bytes(before) + data).decode()
        whole = (before + len(data)) * 8 // 6  # the next character, if any, depends on what follows
        forms.append(encoded[before + 1 if before else 0 : whole])
    heads = tuple(_EITHER_ALPHABET.split(form)[0][:_HEAD] for form in forms)
    return re.compile("|".join(map(_of_form, forms))), heads


def _of_form(form: str) -> str:
    """A pattern of the text, however escaped.

    Of a long one made of the usual characters (a key, a token) only the head is told apart, and the rest counted: the
    pattern of a whole token takes a second to compile.
    """
    head = form[:_HEAD] if _USUAL.fullmatch(form) else form
    pattern = "".join(map(_escaped, head))
    return pattern if len(head) == len(form) else f"{pattern}{_ANY_USUAL}{{0,{len(form) - len(head)}}}"


def _escaped(char: str) -> str:
    """A pattern of one character, as it is or escaped.

    Each way begins with another character, so that whoever tries them all need not go back.
    """
    utf16 = char.encode("utf-16-be", "surrogatepass")
    units = [utf16[at : at + 2].hex() for at in range(0, len(utf16), 2)]
    in_json = r"\\{1,3}".join(f"u{unit}" for unit in units)
    in_address = "".join(f"%(?:25)?{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    either = {"+": "[+-]", "/": "[/_]"}.get(char, re.escape(char))  # base64 has two alphabets
    short = _SHORT_ESCAPES.get(char, either)
    return rf"(?:{either}|\\{{1,3}}(?:{short}|{either}|(?i:{in_json}))|(?i:{in_address}))"


def _clean(text: str, limit: int) -> str:
    """Text from a server, made harmless for a terminal or a log, and bounded."""
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
