"""Embeddings of text and of pictures: which requests are taken, and what is answered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from ..types.base import is_array, is_object
from ..wire.endpoints import Dialect
from .checks import Kind, check_fields, check_kinds, check_supported, count, is_text, one_of
from .media import data_of
from .refusals import invalid, like_models, mistyped
from .script import Script, tokens_of
from .vectors import ENCODINGS, encoded, vector_of

__all__ = ["SHUFFLED", "check_pictures", "check_texts", "embed_pictures", "embed_text"]

SHUFFLED: Final = "shuffled"
"""A model of this name answers with the last embedding first."""

_MOST_INPUTS: Final = 2048
_MOST_DIMENSIONS: Final = 8192
_DIMENSIONS: Final = 256
_PATCH: Final = 1024  # bytes of a picture that are counted as one patch
_KNOWN: Final = frozenset({"model", "input", "dimensions", "encoding_format"})
_KINDS: Final[Mapping[str, Kind]] = {
    "model": Kind("text", is_text),
    "dimensions": count(1, _MOST_DIMENSIONS),
}
_FORMATS: Final = one_of(*ENCODINGS)
_OPENAI_FORMATS: Final = one_of("float", "base64")
_INPUT_TYPES: Final = one_of("text", "query", "document")


def check_texts(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body of a request for embeddings of text, whose input is a list, whatever it was.

    Texts come in a list; endpoints with OpenAI's manners also take a single one. Both also take tokens as numbers.

    Raises:
        Refusal: 400 or 422, as in a chat request.
    """
    body = _checked(dialect, given, mode, script)
    return {**body, "input": _texts(dialect, body.get("input"))}


def check_pictures(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body of a request for embeddings of pictures, each with or without a text.

    Raises:
        Refusal: 400 or 422, as in a chat request.
    """
    body = _checked(dialect, given, mode, script)
    inputs = body.get("input")
    if not is_array(inputs) or not inputs or not all(_is_picture(value) for value in inputs):
        raise mistyped(dialect, "input", 'a list of {"image": "data:image/...;base64,...", "text": "..."}', "")
    _check_count(inputs)
    return body


def embed_text(dialect: Dialect, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a checked body."""
    inputs: list[str | list[int]] = body["input"]
    words = [value if isinstance(value, str) else " ".join(map(str, value)) for value in inputs]
    used = sum(len(tokens_of(value)) if isinstance(value, str) else len(value) for value in inputs)
    size: int = body.get("dimensions") or _DIMENSIONS
    return _answer(dialect, body, [vector_of(text, size) for text in words], {"prompt_tokens": used})


def embed_pictures(dialect: Dialect, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a checked body.

    Raises:
        Refusal: 400: a picture is none.
    """
    size: int = body.get("dimensions") or _DIMENSIONS
    vectors: list[list[float]] = []
    patches = used = 0
    for value in body["input"]:
        data, text = _pixels(value["image"]), value.get("text") or ""
        vectors.append(vector_of(text, size, data=data))
        patches += -(-len(data) // _PATCH)
        used += len(tokens_of(text))
    return _answer(dialect, body, vectors, {"prompt_tokens": used, "prompt_patches": patches})


def _checked(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    models = like_models(dialect)
    body = check_fields(dialect, given, mode, _KNOWN | {"input_type" if models else "user"})
    kinds = (
        {"encoding_format": _FORMATS, "input_type": _INPUT_TYPES} if models else {"encoding_format": _OPENAI_FORMATS}
    )
    check_kinds(dialect, body, {**_KINDS, **kinds})
    check_supported(body, script)
    return body


def _texts(dialect: Dialect, given: Any) -> list[str | list[int]]:
    """The input as a list of texts and lists of tokens."""
    single = isinstance(given, str) or (is_array(given) and bool(given) and all(map(_is_token, given)))
    if single and not (isinstance(given, str) and like_models(dialect)):
        given = [given]
    if not is_array(given) or not given or not all(isinstance(value, str) or _is_tokens(value) for value in given):
        raise mistyped(dialect, "input", "a list of texts", given if isinstance(given, str | int) else "")
    _check_count(given)
    if "" in given:
        raise invalid("'input' cannot hold an empty string.", param="input")
    return given


def _check_count(inputs: list[Any]) -> None:
    if len(inputs) > _MOST_INPUTS:
        raise invalid(f"Too many inputs. The max number of inputs is {_MOST_INPUTS}.", param="input")


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_tokens(value: Any) -> bool:
    return is_array(value) and bool(value) and all(map(_is_token, value))


def _is_picture(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("image"), str) and isinstance(value.get("text") or "", str)


def _pixels(url: str) -> bytes:
    try:
        found = data_of(url)
    except ValueError:
        raise invalid("Invalid base64 image.", param="input", code="invalid_base64") from None
    if found is None or not found[0].startswith("image/"):
        raise invalid("Invalid image. It must be a data URL with base64 encoding.", param="input")
    return found[1]


def _answer(
    dialect: Dialect, body: Mapping[str, Any], vectors: list[list[float]], usage: dict[str, int]
) -> dict[str, Any]:
    encoding = body.get("encoding_format") or "float"
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(vector, encoding)}
        for index, vector in enumerate(vectors)
    ]
    return {
        **({"id": uuid.uuid4().hex} if like_models(dialect) else {}),
        "object": "list",
        "model": f"emulator/{body['model']}",
        "data": data[::-1] if body["model"] == SHUFFLED else data,
        "usage": {**usage, "total_tokens": usage["prompt_tokens"]},
    }
