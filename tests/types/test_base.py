"""What every Struct of an answer shares: `extra`, and a life outside the process."""

from __future__ import annotations

import copy
import pickle
from collections.abc import MutableMapping
from typing import Final

import msgspec
import pytest

from inference_async import types
from inference_async.types.base import EXTRA, UNSET, Open, UnsetType

OPEN: Final[list[type[Open]]] = [
    types.AssistantMessage,
    types.ChatCompletion,
    types.ChatCompletionChunk,
    types.Choice,
    types.ChunkChoice,
    types.CompletionTokensDetails,
    types.Delta,
    types.Embedding,
    types.EmbeddingsResult,
    types.FunctionCall,
    types.FunctionCallDelta,
    types.Logprobs,
    types.ModelInfo,
    types.PromptTokensDetails,
    types.TokenLogprob,
    types.ToolCall,
    types.ToolCallDelta,
    types.TopLogprob,
    types.Usage,
]

each = pytest.mark.parametrize("cls", OPEN, ids=lambda cls: cls.__name__)


def test_the_list_is_whole() -> None:
    exported = [getattr(types, name) for name in types.__all__]
    # A ParsedCompletion is a ChatCompletion that cannot be made without a value: test_chat.py.
    found = {cls for cls in exported if isinstance(cls, type) and issubclass(cls, Open)}
    assert found == {*OPEN, Open, types.ParsedCompletion}
    assert sorted(types.__all__) == sorted(set(types.__all__))


def test_unset_is_one_value() -> None:
    assert types.UNSET is UNSET is msgspec.UNSET
    assert isinstance(UNSET, UnsetType)
    assert EXTRA.startswith("*")


@each
def test_extra_is_empty_by_default(cls: type[Open]) -> None:
    assert cls().extra == {}
    assert not cls().unknown_fields


@each
def test_extra_is_read_only_when_empty(cls: type[Open]) -> None:
    extra = cls().extra
    assert not isinstance(extra, MutableMapping)
    assert cls().extra == {}


@each
def test_extra_is_read_only_when_filled(cls: type[Open]) -> None:
    extra = cls(unknown_fields={"a": 1}).extra
    assert extra == {"a": 1}
    assert not isinstance(extra, MutableMapping)
    assert not hasattr(extra, "__setitem__")


@each
def test_extra_has_no_setter(cls: type[Open]) -> None:
    with pytest.raises(AttributeError):
        setattr(cls(), "extra", {"a": 1})  # noqa: B010  (a type checker would refuse the plain assignment)


@each
def test_defaults_are_not_shared(cls: type[Open]) -> None:
    one, two = cls(), cls()
    for name in cls.__struct_fields__:
        value = getattr(one, name)
        if isinstance(value, list | dict | msgspec.Struct):
            assert value is not getattr(two, name)


@each
def test_pickles_and_copies_with_extra(cls: type[Open]) -> None:
    value = cls(unknown_fields={"a": [1, {"b": None}]})
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(twin) is cls
        assert twin == value
        assert twin.extra == {"a": [1, {"b": None}]}


@each
def test_repr_leaves_defaults_out(cls: type[Open]) -> None:
    assert "unknown_fields" not in repr(cls())
    assert "unknown_fields={'a': 1}" in repr(cls(unknown_fields={"a": 1}))
