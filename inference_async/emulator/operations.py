"""One request, checked and answered: which model it is for, what is said, and how it is sent. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from ..types.base import is_object
from ..wire.endpoints import Dialect
from .checks import check_body
from .embeddings import check_pictures, check_texts, embed_pictures, embed_text
from .replies import reply_to
from .script import Script
from .ways import Operation, Way

__all__ = ["Answered", "answered", "checked", "headers_of"]

_REQUESTS_PER_MINUTE: Final = 1_000
_TOKENS_PER_MINUTE: Final = 1_000_000


class Answered(NamedTuple):
    """What goes back to the caller.

    Attributes:
        whole: the body of an answer that is not streamed.
        delays: seconds to wait before each event of a stream; an answer that is not streamed takes their sum.
        chunks: the events of a stream; None if none was asked for.
    """

    whole: dict[str, Any]
    delays: list[float]
    chunks: list[dict[str, Any]] | None = None


def checked(
    way: Way, operation: Operation, given: Any, *, deployment: str | None, mode: str | None, script: Script
) -> dict[str, Any]:
    """The body of a request that was let in, as the model gets it; empty where there is none.

    Args:
        way: where it came in.
        operation: what it asks for.
        given: its body as JSON, None if it is none.
        deployment: the deployment named in the path.
        mode: the ``extra-parameters`` header.
        script: what models cannot do.

    Raises:
        Refusal: the request is none.
    """
    if operation == "info":
        return {}
    return _CHECKS[operation](way.dialect, _with_model(way, given, deployment, script), mode, script)


_CHECKS: Final[Mapping[Operation, Callable[[Dialect, Any, str | None, Script], dict[str, Any]]]] = {
    "chat/completions": check_body,
    "embeddings": check_texts,
    "images/embeddings": check_pictures,
}


def answered(way: Way, operation: Operation, body: Mapping[str, Any], script: Script) -> Answered:
    """The answer to a body that was checked.

    Raises:
        Refusal: it is refused.
    """
    if operation == "info":
        return Answered(msgspec.to_builtins(script.info), [])
    if operation != "chat/completions":
        embed = embed_text if operation == "embeddings" else embed_pictures
        return Answered(embed(way.dialect, body), [script.pace.first])
    reply = reply_to(way.dialect, body, script)
    chunks = [chunk for _, chunk in reply.chunks] if body.get("stream") else None
    return Answered(reply.whole, [delay for delay, _ in reply.chunks], chunks)


def headers_of(
    way: Way, asked: Mapping[str, str], *, deployment: str | None, usage: Mapping[str, Any] | None
) -> dict[str, str]:
    """The headers of an answer: which deployment gave it, and what is left of the minute, which it alone used."""
    headers: dict[str, str] = {}
    name = asked.get("azureml-model-deployment") if way.dialect == "managed" else deployment
    if name:
        headers["x-ms-deployment-name"] = name
    if usage is None:
        return headers
    left = max(_TOKENS_PER_MINUTE - int(usage["total_tokens"]), 0)
    return headers | {
        "x-ratelimit-limit-requests": str(_REQUESTS_PER_MINUTE),
        "x-ratelimit-remaining-requests": str(_REQUESTS_PER_MINUTE - 1),
        "x-ratelimit-limit-tokens": str(_TOKENS_PER_MINUTE),
        "x-ratelimit-remaining-tokens": str(left),
    }


def _with_model(way: Way, given: Any, deployment: str | None, script: Script) -> Any:
    """The body with the model it is for: the path's, whatever the body says; else the body's, or the only one."""
    if not is_object(given):
        return given
    if way.dialect == "deployment":
        return {**given, "model": deployment}
    if way.dialect in ("serverless", "managed") and given.get("model") is None:
        return {**given, "model": script.info.model_name}
    return given
