"""Embeddings: inputs to calls, and answers to vectors in the order of the inputs."""

from __future__ import annotations

import base64
import json
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from inference_async.errors import ConfigurationError, UnknownOptionError
from inference_async.types import (
    UNSET,
    Embedding,
    EmbeddingsResult,
    ImageEmbeddingInput,
    ModelInfo,
    PromptTokensDetails,
    ResponseMeta,
    Usage,
)
from inference_async.wire.embeddings import (
    MAX_INPUTS,
    arranged,
    embedding_calls,
    image_embedding_call,
    joined,
    text_inputs,
)
from inference_async.wire.endpoints import Endpoint
from inference_async.wire.request import Call

MODELS: Final = Endpoint.parse("https://r.services.ai.azure.com/models")
V1: Final = Endpoint.parse("https://r.services.ai.azure.com/openai/v1")
IMAGE: Final = "data:image/png;base64,AA=="


def calls(
    inputs: Sequence[Any], endpoint: Endpoint = V1, *, batch_size: int = MAX_INPUTS, split: bool = True, **more: Any
) -> list[tuple[Call, int]]:
    options: Mapping[str, Any] = more.pop("options", {})
    more = {"extra": None, "extra_mode": None, "headers": None} | more
    return embedding_calls(endpoint, list(inputs), options, batch_size=batch_size, split=split, **more)


def bodies(made: list[tuple[Call, int]]) -> list[Any]:
    return [json.loads(call.body) for call, _ in made]


def images(inputs: Any, endpoint: Endpoint = MODELS, **more: Any) -> tuple[Call, int]:
    options: Mapping[str, Any] = more.pop("options", {})
    more = {"extra": None, "extra_mode": None, "headers": None} | more
    return image_embedding_call(endpoint, inputs, options, **more)


# ---------------------------------------------------------------------------------------------------------------------
# Inputs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("a", ["a"], id="one text"),
        pytest.param("", [""], id="an empty text"),
        pytest.param(["a", "b"], ["a", "b"], id="texts"),
        pytest.param(("a", "b"), ["a", "b"], id="a tuple of texts"),
        pytest.param([1, 2], [[1, 2]], id="the tokens of one text"),
        pytest.param((1, 2), [[1, 2]], id="a tuple of tokens"),
        pytest.param([[1, 2], [3]], [[1, 2], [3]], id="the tokens of two texts"),
        pytest.param([(1, 2), [3]], [(1, 2), [3]], id="tuples and lists of tokens"),
    ],
)
def test_text_inputs(given: Any, expected: list[Any]) -> None:
    assert text_inputs(given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param([], "empty list of inputs", id="empty"),
        pytest.param((), "empty list of inputs", id="empty tuple"),
        pytest.param(5, "input of type int", id="a number"),
        pytest.param(None, "input of type NoneType", id="None"),
        pytest.param(b"a", "input of type bytes", id="bytes"),
        pytest.param(bytearray(b"a"), "input of type bytearray", id="bytearray"),
        pytest.param({"a": 1}, "input of type dict", id="dict"),
        pytest.param({"a"}, "input of type set", id="set"),
        pytest.param((text for text in "ab"), "input of type generator", id="generator"),
        pytest.param(["a", None], "input of type NoneType at 1", id="None among texts"),
        pytest.param(["a", 1], "input of type int at 1", id="a token among texts"),
        pytest.param([1, "a"], "input of type int at 0", id="a text among tokens"),
        pytest.param(["a", [1]], "input of type list at 1", id="tokens among texts"),
        pytest.param([[1], "a"], "input of type str at 1", id="a text among lists of tokens"),
        pytest.param([["a"], ["b"]], "input of type list at 0", id="lists of texts"),
        pytest.param([b"a"], "input of type bytes at 0", id="a list of bytes"),
        pytest.param([[1, 2.5]], "input of type list at 0", id="fractions of tokens"),
    ],
)
def test_inputs_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        text_inputs(given)


# ---------------------------------------------------------------------------------------------------------------------
# Calls


def test_one_call() -> None:
    [(call, count)] = calls(["a", "b"], options={"model": "m", "dimensions": 3, "encoding_format": UNSET})
    assert (call.method, call.url, count) == ("POST", "https://r.services.ai.azure.com/openai/v1/embeddings", 2)
    assert json.loads(call.body) == {"input": ["a", "b"], "model": "m", "dimensions": 3}
    assert (call.headers["content-type"], call.headers["accept"]) == ("application/json",) * 2
    assert not call.any_success


def test_tokens_go_out_as_they_are() -> None:
    assert bodies(calls(text_inputs([1, 2]))) == [{"input": [[1, 2]]}]
    assert bodies(calls(text_inputs([(1, 2), [3]]))) == [{"input": [[1, 2], [3]]}]


@pytest.mark.parametrize("name", ["model", "dimensions", "encoding_format", "input_type", "user"])
def test_none_is_null_and_unset_is_left_out(name: str) -> None:
    assert bodies(calls("a", options={name: None})) == [{"input": ["a"], name: None}]
    assert bodies(calls("a", options={name: UNSET})) == [{"input": ["a"]}]


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (1, 1, [1]),
        (3, 1, [1, 1, 1]),
        (4, 2, [2, 2]),
        (5, 2, [2, 2, 1]),
        (5, 5, [5]),
        (5, 6, [5]),
        (2049, 2048, [2048, 1]),
    ],
)
def test_batches(count: int, size: int, expected: list[int]) -> None:
    inputs = [str(index) for index in range(count)]
    made = calls(inputs, batch_size=size)
    assert [count for _, count in made] == expected
    assert [text for body in bodies(made) for text in body["input"]] == inputs
    assert [len(body["input"]) for body in bodies(made)] == expected


def test_the_default_batch_is_what_the_service_takes() -> None:
    assert MAX_INPUTS == 2048


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([150_000, 150_000], [2], id="just fits"),
        pytest.param([150_000, 150_001], [1, 1], id="one byte over"),
        pytest.param([300_000, 1], [1, 1], id="a full one first"),
        pytest.param([1, 300_000, 1], [1, 1, 1], id="a full one between"),
        pytest.param([400_000, 1, 1], [1, 2], id="one that fits nowhere goes alone"),
        pytest.param([1, 400_000], [1, 1], id="and takes nothing along"),
        pytest.param([100_000] * 7, [3, 3, 1], id="the count begins anew"),
    ],
)
@pytest.mark.parametrize("kind", ["ascii", "two bytes", "tokens"])
def test_the_bound_in_bytes(sizes: list[int], expected: list[int], kind: str) -> None:
    def made(size: int) -> Any:
        if kind == "tokens":
            return [7] * size
        return "a" * size if kind == "ascii" else "é" * (size // 2) + "a" * (size % 2)

    assert [count for _, count in calls([made(size) for size in sizes])] == expected


def test_half_a_surrogate_pair_is_no_crash() -> None:
    with pytest.raises(ConfigurationError, match="JSON cannot say"):
        calls(["\ud800"])


def test_without_splitting() -> None:
    assert [count for _, count in calls(["a", "b"], batch_size=2, split=False)] == [2]
    assert [count for _, count in calls(["a" * 200_000] * 2, split=False)] == [2]
    with pytest.raises(ConfigurationError, match=r"got 3 inputs with split=False, expected at most 2"):
        calls(["a", "b", "c"], batch_size=2, split=False)


@pytest.mark.parametrize("size", [0, -1, True, False, 1.5, "96", None], ids=repr)
@pytest.mark.parametrize("split", [True, False])
def test_a_batch_size_that_is_none(size: Any, *, split: bool) -> None:
    with pytest.raises(ConfigurationError, match=f"got batch_size={size!r}"):
        calls(["a"], batch_size=size, split=split)


@pytest.mark.parametrize(
    ("endpoint", "more", "expected"),
    [
        pytest.param(MODELS, {}, None, id="nothing"),
        pytest.param(MODELS, {"options": {"dimensions": 3, "input_type": "query"}}, None, id="known options"),
        pytest.param(MODELS, {"options": {"user": "u"}}, "pass-through", id="an option of OpenAI's"),
        pytest.param(MODELS, {"options": {"user": UNSET}}, None, id="one that is not sent"),
        pytest.param(MODELS, {"extra": {"truncate": "END"}}, "pass-through", id="extra"),
        pytest.param(MODELS, {"extra": {"truncate": UNSET}}, None, id="extra that is not sent"),
        pytest.param(MODELS, {"extra": {"a": 1}, "extra_mode": "drop"}, "drop", id="the mode"),
        pytest.param(MODELS, {"extra_mode": "error"}, "error", id="the mode alone"),
        pytest.param(V1, {"extra": {"a": 1}, "options": {"user": "u"}}, None, id="an endpoint without the header"),
    ],
)
def test_extra_parameters_header(endpoint: Endpoint, more: dict[str, Any], expected: str | None) -> None:
    for call, _ in (*calls(["a"], endpoint, **more), images(IMAGE, endpoint, **more)):
        assert call.headers.get("extra-parameters") == expected


def test_extra_goes_to_the_root_of_every_call() -> None:
    made = calls(["a", "b"], batch_size=1, extra={"truncate": "END", "gone": UNSET, "null": None}, headers={"X-A": "1"})
    assert bodies(made) == [{"input": [text], "truncate": "END", "null": None} for text in "ab"]
    assert [call.headers["x-a"] for call, _ in made] == ["1", "1"]


def test_extra_cannot_overwrite_the_input() -> None:
    with pytest.raises(ConfigurationError, match="'input' in extra="):
        calls(["a"], extra={"input": "b"})


@pytest.mark.parametrize(
    ("name", "words"), [("dimension", "did you mean 'dimensions'"), ("temperature", "extra="), ("batch", "extra=")]
)
def test_unknown_option(name: str, words: str) -> None:
    with pytest.raises(UnknownOptionError, match=words):
        calls(["a"], options={name: 1})


def test_numbers_that_json_cannot_say() -> None:
    with pytest.raises(ConfigurationError, match="got nan in dimensions"):
        calls(["a"], options={"dimensions": float("nan")})


# ---------------------------------------------------------------------------------------------------------------------
# Images


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(IMAGE, [{"image": IMAGE}], id="a data URL"),
        pytest.param(ImageEmbeddingInput(IMAGE), [{"image": IMAGE}], id="a Struct"),
        pytest.param(ImageEmbeddingInput(IMAGE, "t"), [{"image": IMAGE, "text": "t"}], id="a Struct with text"),
        pytest.param({"image": IMAGE, "text": "t"}, [{"image": IMAGE, "text": "t"}], id="a dict"),
        pytest.param(
            (IMAGE, {"image": "data:b", "x": 1}, ImageEmbeddingInput("https://c")),
            [{"image": IMAGE}, {"image": "data:b", "x": 1}, {"image": "https://c"}],
            id="all of them",
        ),
    ],
)
def test_images(given: Any, expected: list[Any]) -> None:
    call, count = images(given, options={"model": "m"})
    assert call.url == "https://r.services.ai.azure.com/models/images/embeddings?api-version=2024-05-01-preview"
    assert json.loads(call.body) == {"input": expected, "model": "m"}
    assert count == len(expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param([], "images of type list", id="none"),
        pytest.param(None, "images of type NoneType", id="None"),
        pytest.param(b"\x89PNG", "images of type bytes.*ImageEmbeddingInput.load", id="bytes"),
        pytest.param([b"\x89PNG"], "image of type bytes at 0", id="a list of bytes"),
        pytest.param([IMAGE, None], "image of type NoneType at 1", id="None at 1"),
        pytest.param("map.png", r"no image at 0, .*load\(path\)", id="a path"),
        pytest.param({"text": "x"}, "no image at 0", id="no image in it"),
        pytest.param({"image": b"abc"}, r"bytes in input\[0\].image", id="bytes in it"),
        pytest.param(ImageEmbeddingInput(5), "no image at 0", id="a number"),  # type: ignore[arg-type]  # what is tested
        pytest.param({"image": "data:x", "n": float("nan")}, r"nan in input\[0\].n", id="no number"),
    ],
)
def test_images_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        images(given)


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def result(*rows: tuple[int, Any]) -> EmbeddingsResult:
    return EmbeddingsResult(data=[Embedding(index=index, embedding=vector) for index, vector in rows])


def packed(typecode: Any, *numbers: float) -> str:
    """As the service sends it: little-endian."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}{typecode}", *numbers)).decode()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(0, [1.0])], [[1.0]], id="one"),
        pytest.param([(0, [1.0]), (1, [2.0])], [[1.0], [2.0]], id="in order"),
        pytest.param([(2, [3.0]), (0, [1.0]), (1, [2.0])], [[1.0], [2.0], [3.0]], id="out of order"),
        pytest.param([(0, [1.0]), (0, [2.0]), (0, [3.0])], [[1.0], [2.0], [3.0]], id="a host that does not count"),
    ],
)
def test_arranged(rows: list[tuple[int, Any]], expected: list[Any]) -> None:
    found = arranged(result(*rows), len(rows), None)
    assert found.vectors == expected
    assert [item.index for item in found.data] == list(range(len(rows)))


@pytest.mark.parametrize(
    ("rows", "count", "words"),
    [
        pytest.param([], 1, "0 vectors for 1 inputs", id="none"),
        pytest.param([(0, [1.0])], 2, "1 vectors for 2 inputs", id="too few"),
        pytest.param([(0, [1.0]), (1, [1.0])], 1, "2 vectors for 1 inputs", id="too many"),
        pytest.param([(0, [1.0]), (2, [1.0])], 2, "indices that are not those of 2 inputs", id="a hole"),
        pytest.param([(1, [1.0]), (2, [1.0])], 2, "indices", id="counted from 1"),
        pytest.param([(0, [1.0]), (0, [1.0]), (1, [1.0])], 3, "indices", id="one twice"),
        pytest.param([(1, [1.0]), (1, [1.0])], 2, "indices", id="all of them 1"),
        pytest.param([(-1, [1.0]), (0, [1.0])], 2, "indices", id="below 0"),
    ],
)
def test_not_arranged(rows: list[tuple[int, Any]], count: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        arranged(result(*rows), count, None)


@pytest.mark.parametrize(
    ("encoding", "vector", "expected"),
    [
        pytest.param(None, [0.5, -1.0], [0.5, -1.0], id="numbers"),
        pytest.param("float", [0.5], [0.5], id="numbers, asked for"),
        pytest.param("base64", packed("f", 0.5, -1.0), array("f", [0.5, -1.0]), id="base64"),
        pytest.param(None, packed("f", 0.5, -1.0), array("f", [0.5, -1.0]), id="base64, unasked"),
        pytest.param("base64", [0.5], array("f", [0.5]), id="numbers from a host without base64"),
        pytest.param("base64", "", array("f"), id="no numbers"),
        pytest.param("int8", [-128, 127], array("b", [-128, 127]), id="int8"),
        pytest.param("uint8", [0, 255], array("B", [0, 255]), id="uint8"),
        pytest.param("binary", [-1, 5], array("b", [-1, 5]), id="binary"),
        pytest.param("ubinary", [255, 5], array("B", [255, 5]), id="ubinary"),
        pytest.param("int8", packed("b", -128, 127), array("b", [-128, 127]), id="int8 in base64"),
        pytest.param("uint8", packed("B", 0, 255), array("B", [0, 255]), id="uint8 in base64"),
        pytest.param("int8", [0.5], [0.5], id="floats where bytes were asked for"),
        pytest.param("uint8", [-1, 300], [-1, 300], id="numbers that are no bytes"),
        pytest.param("of next year", [1], [1], id="an encoding of next year"),
        pytest.param(["float"], [1], [1], id="an encoding that is no text"),
    ],
)
def test_numbers(encoding: Any, vector: Any, expected: Any) -> None:
    [found] = arranged(result((0, vector)), 1, encoding).vectors
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(expected, array):
        assert isinstance(found, array)
        assert found.typecode == expected.typecode


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param("!!!!", id="no base64"),
        pytest.param("AAA", id="base64 without its end"),
        pytest.param("AAAA", id="three bytes are no float"),
        pytest.param("AAAAAA==\n", id="base64 with a line break"),
        pytest.param("é", id="no ascii"),
        pytest.param(None, id="null"),
        pytest.param({"a": 1}, id="an object"),
        pytest.param(5, id="a number"),
    ],
)
@pytest.mark.parametrize("encoding", [None, "base64"])
def test_a_vector_that_is_none(vector: Any, encoding: str | None) -> None:
    with pytest.raises(ValueError, match="neither numbers nor base64 of them"):
        arranged(result((0, vector)), 1, encoding)


# ---------------------------------------------------------------------------------------------------------------------
# Several answers


def test_joined_of_one_is_itself() -> None:
    one = result((0, [1.0]))
    assert joined([one]) is one
    assert one.requests == 1


def test_joined() -> None:
    first, second, third = result((0, [1.0]), (1, [2.0])), result((0, [3.0])), result((0, [4.0]), (1, [5.0]))
    first.id, first.model, first.object, first.unknown_fields = "e1", "m", "list", {"a": 1}
    whole = joined([first, second, third])
    assert whole.vectors == [[1.0], [2.0], [3.0], [4.0], [5.0]]
    assert [item.index for item in whole.data] == [0, 1, 2, 3, 4]
    assert (whole.id, whole.model, whole.object, whole.requests) == ("e1", "m", "list", 3)
    assert whole.extra == {"a": 1}


def test_meta_is_of_the_answer_that_took_longest() -> None:
    one, two, three = result((0, [1.0])), result((0, [1.0])), result((0, [1.0]))
    one.meta, two.meta, three.meta = (
        ResponseMeta(request_id=name, elapsed=at) for name, at in zip("abc", (1.0, 3.0, 2.0), strict=True)
    )
    assert joined([one, two, three]).meta.request_id == "b"


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        pytest.param([None, None], None, id="none"),
        pytest.param(
            [Usage(prompt_tokens=3, total_tokens=4), Usage(prompt_tokens=5, total_tokens=6)],
            Usage(prompt_tokens=8, total_tokens=10),
            id="sum",
        ),
        pytest.param([Usage(prompt_tokens=3), None], Usage(prompt_tokens=3), id="one of them silent"),
        pytest.param(
            [
                Usage(unknown_fields={"prompt_patches": 2, "unit": "patch"}),
                Usage(unknown_fields={"prompt_patches": 3, "unit": "patch", "total_patches": 5}),
            ],
            Usage(unknown_fields={"prompt_patches": 5, "unit": "patch", "total_patches": 5}),
            id="extra counts are summed, words are kept",
        ),
        pytest.param(
            [Usage(unknown_fields={"cost": "?"}), Usage(unknown_fields={"cost": 2})],
            Usage(unknown_fields={"cost": 2}),
            id="a word and a count",
        ),
        pytest.param(
            [
                Usage(prompt_tokens=1, prompt_tokens_details=PromptTokensDetails(cached_tokens=1, text_tokens=2)),
                Usage(prompt_tokens=1, prompt_tokens_details=PromptTokensDetails(cached_tokens=3, text_tokens=4)),
            ],
            Usage(prompt_tokens=2, prompt_tokens_details=PromptTokensDetails(cached_tokens=4, text_tokens=6)),
            id="details are summed too",
        ),
    ],
)
def test_usage_is_the_sum(usages: list[Usage | None], expected: Usage | None) -> None:
    results = [result((0, [1.0])) for _ in usages]
    for one, usage in zip(results, usages, strict=True):
        one.usage = usage
    assert joined(results).usage == expected
    assert [one.usage for one in results] == usages


# ---------------------------------------------------------------------------------------------------------------------
# What an endpoint says of its model


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("chat", "chat_completion"),
        ("completion", "chat_completion"),
        ("chat_completions", "chat_completion"),
        ("chat-completion", "chat_completion"),
        ("Chat Completions", "chat_completion"),
        ("embedding", "embeddings"),
        ("embeddings", "embeddings"),
        ("text_embedding", "embeddings"),
        ("text-embeddings", "embeddings"),
        ("text embedding", "embeddings"),
        ("image_embedding", "image_embeddings"),
        ("image-embeddings", "image_embeddings"),
        ("Image Embedding", "image_embeddings"),
        ("text_generation", "text_generation"),
        ("image-generation", "image_generation"),
        ("audio generation", "audio_generation"),
        (" chat ", "chat_completion"),
        ("", ""),
    ],
)
def test_kind(said: str, kind: str) -> None:
    assert ModelInfo(model_type=said).kind == kind


@pytest.mark.parametrize("vector", [[], ["a"], [None], [[1.0]], [1.0, "NaN"]], ids=repr)
def test_a_vector_of_something_else(vector: Any) -> None:
    with pytest.raises(ValueError, match="a vector that"):
        arranged(result((0, vector)), 1, None)


def test_vectors_as_plain_data() -> None:
    found = arranged(result((0, packed("f", 0.5))), 1, "base64")
    assert json.loads(json.dumps(found.to_dict()))["data"][0]["embedding"] == [0.5]


def test_reprs_without_the_numbers() -> None:
    found = result((0, [0.5] * 1000), (1, [0.5] * 1000))
    assert "2 x 1000 numbers" in repr(found)
    assert repr(found.data[1]) == "<Embedding 1: 1000 numbers>"
    assert len(repr(found)) < 200


@pytest.mark.parametrize("given", [[True], [[]], [["a"]], memoryview(b"hi"), [1, "a"]], ids=repr)
def test_inputs_that_are_neither_text_nor_tokens(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="got an input of type"):
        text_inputs(given)


@pytest.mark.parametrize(
    ("options", "extra", "model"),
    [({}, None, None), ({"model": "m"}, None, "m"), ({"model": "m"}, {"model": "n"}, "n")],
    ids=["none", "by its keyword", "extra wins"],
)
def test_a_call_knows_its_model(options: dict[str, Any], extra: Any, model: str | None) -> None:
    ((call, _),) = calls("a", options=options, extra=extra)
    assert call.model == model


def test_headers_of_the_caller_go_with_images() -> None:
    call, _ = images(["data:image/png;base64,AA=="], headers={"X-Mine": "1"})
    assert call.headers["x-mine"] == "1"


@pytest.mark.parametrize("url", ["data:image/png;base64,AA==", "https://h.example/a.png", "http://h.example/a.png"])
def test_addresses_of_images(url: str) -> None:
    assert json.loads(images([url])[0].body)["input"] == [{"image": url}]


REFUSALS: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "no inputs": (lambda: text_inputs([]), "got an empty list of inputs, expected at least one"),
    "too many": (
        lambda: calls(["a"] * 3, batch_size=2, split=False),
        "got 3 inputs with split=False, expected at most 2; leave split out to send them in several requests",
    ),
    "images of no kind": (
        lambda: images(5),
        (
            "got images of type int, expected an ImageEmbeddingInput, or a list of at least one; "
            "ImageEmbeddingInput.load(path) makes one from a file"
        ),
    ),
    "image of no kind": (
        lambda: images([5]),
        "got an image of type int at 0, expected an ImageEmbeddingInput, a dict with 'image', or a data URL",
    ),
    "path of an image": (
        lambda: images("cat.png"),
        ("got no image at 0, expected a data URL under 'image'; ImageEmbeddingInput.load(path) makes one from a file"),
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_in_full(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == words
