"""Embeddings: many inputs to a few calls, and their answers to one result in the order of the inputs."""

from __future__ import annotations

import base64
import binascii
import operator
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Final, Literal, TypeAlias

from ..errors import ConfigurationError
from ..types import UNSET, EmbeddingOptions, EmbeddingsResult, ImageEmbeddingInput, Usage
from ..types.base import is_array, is_mapping, is_whole
from ..types.chat import ExtraMode
from ..types.embeddings import EMBEDDING_OPTIONS, Vector
from .codec import plain
from .endpoints import Endpoint
from .request import Call, check_options, check_values, json_call

__all__ = ["MAX_INPUTS", "arranged", "embedding_calls", "image_embedding_call", "joined", "text_inputs"]

MAX_INPUTS: Final = 2048
"""How many inputs the service takes in one request; single models take fewer, Cohere's 96."""

_MAX_REQUEST_BYTES: Final = 300_000
"""The service counts 300,000 tokens in one request at most, and no token is shorter than a byte."""

_OPTIONS: Final = frozenset(EmbeddingOptions.__annotations__)


def text_inputs(inputs: Any) -> list[Any]:
    """The inputs as a list: of texts, or of lists of tokens.

    Raises:
        ConfigurationError: they are something else, mixed, or none.
    """
    if isinstance(inputs, str):
        return [inputs]
    if not _is_list(inputs):
        raise ConfigurationError(f"got an input of type {type(inputs).__name__}, expected text, or a list of texts")
    rows: list[Any] = list(inputs)
    if not rows:
        raise ConfigurationError("got an empty list of inputs, expected at least one")
    if all(map(is_whole, rows)):
        return [rows]
    kind = _kind(rows[0])
    for index, row in enumerate(rows):
        if _kind(row) is None or _kind(row) != kind:
            raise ConfigurationError(
                f"got an input of type {type(row).__name__} at {index}, expected all of them as text, or all as tokens"
            )
    return rows


def embedding_calls(
    endpoint: Endpoint,
    inputs: list[Any],
    options: Mapping[str, Any],
    *,
    batch_size: int,
    split: bool,
    extra: Mapping[str, Any] | None,
    extra_mode: ExtraMode | None,
    headers: Mapping[str, str] | None,
) -> list[tuple[Call, int]]:
    """The calls that embed all the inputs, each with the number of inputs in it.

    Raises:
        ConfigurationError: more inputs than fit into one call while `split` is off, or something that cannot be sent.
    """
    if not is_whole(batch_size) or batch_size < 1:
        raise ConfigurationError(f"got batch_size={batch_size!r}, expected a number of inputs above 0")
    if split:
        batches = _batches(inputs, batch_size)
    elif len(inputs) > batch_size:
        raise ConfigurationError(
            f"got {len(inputs):,} inputs with split=False, expected at most {batch_size:,}; leave split out to send "
            "them in several requests"
        )
    else:
        batches = [inputs]
    return [
        (_call(endpoint, "embeddings", batch, options, extra, extra_mode, headers), len(batch)) for batch in batches
    ]


def image_embedding_call(
    endpoint: Endpoint,
    inputs: Any,
    options: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None,
    extra_mode: ExtraMode | None,
    headers: Mapping[str, str] | None,
) -> tuple[Call, int]:
    """The call that embeds images, and the number of them.

    Raises:
        ConfigurationError: see `embedding_calls`.
    """
    rows: Any = [inputs] if isinstance(inputs, ImageEmbeddingInput | str) or is_mapping(inputs) else inputs
    if not _is_list(rows) or not rows:
        raise ConfigurationError(
            f"got images of type {type(inputs).__name__}, expected an ImageEmbeddingInput, or a list of at least one; "
            "ImageEmbeddingInput.load(path) makes one from a file"
        )
    images: list[Any] = []
    for index, row in enumerate(rows):
        image: Any = {"image": row} if isinstance(row, str) else row
        if not isinstance(image, ImageEmbeddingInput) and not is_mapping(image):
            raise ConfigurationError(
                f"got an image of type {type(row).__name__} at {index}, expected an ImageEmbeddingInput, a dict with "
                "'image', or a data URL"
            )
        check_values(f"input[{index}]", image)
        image = plain(image)
        url = image.get("image")
        if not isinstance(url, str) or not url.startswith(("data:", "https://", "http://")):
            raise ConfigurationError(
                f"got no image at {index}, expected a data URL under 'image'; ImageEmbeddingInput.load(path) makes "
                "one from a file"
            )
        images.append(image)
    return _call(endpoint, "images/embeddings", images, options, extra, extra_mode, headers), len(images)


def arranged(result: EmbeddingsResult, count: int, encoding: object) -> EmbeddingsResult:
    """The result with its vectors in the order of the inputs, and their numbers as numbers.

    Args:
        result: as it was decoded; changed in place.
        count: how many inputs there were.
        encoding: the ``encoding_format`` that was asked for.

    Raises:
        ValueError: there are more or fewer vectors than inputs, or one that is none; in words for a message.
    """
    data = result.data
    if len(data) != count:
        raise ValueError(f"{len(data)} vectors for {count} inputs")
    indices = {item.index for item in data}
    if indices == set(range(count)):
        data.sort(key=lambda item: item.index)
    elif indices == {0}:  # a host that does not count: its order is all there is
        for index, item in enumerate(data):
            item.index = index
    else:
        raise ValueError(f"indices that are not those of {count} inputs")
    typecode = _TYPECODES.get(encoding) if isinstance(encoding, str) else None
    for item in data:
        item.embedding = _numbers(item.embedding, typecode)
    return result


def joined(results: Sequence[EmbeddingsResult]) -> EmbeddingsResult:
    """The results of several calls, in their order, as one."""
    first = results[0]
    if len(results) == 1:
        return first
    data = [item for result in results for item in result.data]
    for index, item in enumerate(data):
        item.index = index
    return EmbeddingsResult(
        id=first.id,
        object=first.object,
        model=first.model,
        data=data,
        usage=_sum(result.usage for result in results),
        meta=max((result.meta for result in results), key=lambda meta: meta.elapsed),
        requests=len(results),
        unknown_fields={name: value for result in results for name, value in result.extra.items()} or UNSET,
    )


Typecode: TypeAlias = Literal["f", "b", "B"]

_TYPECODES: Final[Mapping[str, Typecode]] = {"base64": "f", "int8": "b", "binary": "b", "uint8": "B", "ubinary": "B"}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _kind(row: Any) -> type | None:
    if isinstance(row, str):
        return str
    if isinstance(row, bool) or not row:
        return None
    return list if _is_list(row) and all(isinstance(token, int) for token in row) else None


def _batches(inputs: list[Any], size: int) -> list[list[Any]]:
    batches: list[list[Any]] = []
    weight = 0
    for row in inputs:
        heavy = len(row.encode("utf-8", "replace")) if isinstance(row, str) else len(row)
        if not batches or len(batches[-1]) == size or weight + heavy > _MAX_REQUEST_BYTES:
            batches.append([])
            weight = 0
        batches[-1].append(row)
        weight += heavy
    return batches


def _call(
    endpoint: Endpoint,
    operation: str,
    inputs: list[Any],
    options: Mapping[str, Any],
    extra: Mapping[str, Any] | None,
    extra_mode: ExtraMode | None,
    headers: Mapping[str, str] | None,
) -> Call:
    check_options(options, known=_OPTIONS)
    given = {name: value for name, value in options.items() if value is not UNSET}
    return json_call(
        endpoint,
        operation,
        {"input": inputs, **given},
        has_extra=not given.keys() <= EMBEDDING_OPTIONS,
        owned=("input",),
        model=given.get("model"),
        extra=extra,
        extra_mode=extra_mode,
        headers=headers,
    )


def _numbers(value: Any, typecode: Typecode | None) -> Vector:
    if isinstance(value, str):
        try:
            numbers = array(typecode or "f", base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("a vector that is neither numbers nor base64 of them") from None
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers
    if not is_array(value) or not value:
        raise ValueError("a vector that is neither numbers nor base64 of them")
    try:
        array("d", value)  # the quickest way to see that they are numbers
    except (TypeError, OverflowError):
        raise ValueError("a vector that holds what is no number") from None
    if typecode is None:
        return value
    try:
        return array(typecode, value)
    except (TypeError, OverflowError):
        return value  # not what was asked for, and better than nothing


def _sum(usages: Iterable[Usage | None]) -> Usage | None:
    told = [usage for usage in usages if usage is not None]
    return reduce(operator.add, told) if told else None
