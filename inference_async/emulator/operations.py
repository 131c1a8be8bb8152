"""One request, checked and answered: which model it is for, what is said, and how it is sent. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from ..types.base import is_object
from .checks import check_body
from .embeddings import embed_images, embed_text
from .replies import reply_to
from .script import Script
from .ways import Operation, Way

__all__ = ["Answered", "answered", "headers_of"]

_REQUESTS_PER_MINUTE: Final = 1_000
_TOKENS_PER_MINUTE: Final = 1_000_000


class Answered(NamedTuple):
    """What goes back to the caller.

    Attributes:
        about: what the log says of it.
        whole: the body of an answer that is not streamed.
        seconds: how long that takes.
        chunks: the events of a stream, each with the seconds to wait before it; None if none was asked for.
    """

    about: str
    whole: dict[str, Any]
    seconds: float = 0.0
    chunks: list[tuple[float, dict[str, Any]]] | None = None


def answered(
    way: Way, operation: Operation, given: Any, *, deployment: str | None, mode: str | None, script: Script
) -> Answered:
    """The answer to a request that was let in.

    Args:
        way: where it came in.
        operation: what it asks for.
        given: its body as JSON, None if it is none.
        deployment: the deployment named in the path.
        mode: the ``extra-parameters`` header.
        script: what is answered.

    Raises:
        Refusal: the request is none, or is refused.
    """
    if operation == "info":
        return Answered("", msgspec.to_builtins(script.info))
    given = _with_model(way, given, deployment, script)
    if operation != "chat/completions":
        embed = embed_text if operation == "embeddings" else embed_images
        whole = embed(way.dialect, given, mode, script)
        return Answered(given["model"], whole, script.pace.first)
    body = check_body(way.dialect, given, mode, script)
    reply = reply_to(way.dialect, body, script)
    if not body.get("stream"):
        return Answered(body["model"], reply.whole, reply.seconds)
    return Answered(f"{body['model']}, streamed", reply.whole, reply.seconds, reply.chunks)


def headers_of(way: Way, answer: Answered, asked: Mapping[str, str], *, deployment: str | None) -> dict[str, str]:
    """The headers of an answer: which deployment gave it, and what is left of the minute, which it alone used."""
    headers: dict[str, str] = {}
    name = asked.get("azureml-model-deployment") if way.dialect == "managed" else deployment
    if name:
        headers["x-ms-deployment-name"] = name
    usage = answer.whole.get("usage")
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
