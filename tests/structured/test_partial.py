"""The reader of unfinished JSON against `json.loads`, at every cut and in every slicing, and what it costs."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference_async.structured import partial
from inference_async.structured.partial import PartialReader
from inference_async.types import UNSET


def read(pieces: Sequence[str], *, close: bool = True) -> PartialReader:
    reader = PartialReader()
    for piece in pieces:
        reader.feed(piece)
    if close:
        reader.close()
    return reader


def same(one: Any, other: Any) -> bool:
    """Equal, type by type: `1 == 1.0 == True`, and NaN is no equal of itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def is_prefix(shown: Any, final: Any) -> bool:
    """Whether what is shown is certain: all but the last member of a container is final, and the last is a prefix."""
    if isinstance(shown, str) and isinstance(final, str):
        return final.startswith(shown)
    if isinstance(shown, dict) and isinstance(final, dict):
        keys = list(shown)
        return keys == list(final)[: len(keys)] and is_prefix_of_each(list(shown.values()), list(final.values()))
    if isinstance(shown, list) and isinstance(final, list):
        return len(shown) <= len(final) and is_prefix_of_each(shown, final)
    return same(shown, final)


def is_prefix_of_each(shown: list[Any], final: list[Any]) -> bool:
    if not shown:
        return True
    whole = len(shown) - 1
    return all(map(same, shown[:whole], final)) and is_prefix(shown[whole], final[whole])


# ---------------------------------------------------------------------------------------------------------------------
# Any JSON, any slicing

# Half surrogates, control characters and quotes are as likely as letters; few keys, so that some are equal.
characters = st.one_of(st.characters(), st.sampled_from('"\\/\b\n\u2028é\U0001f600\ud83d\ude00aé'))
strings = st.text(characters, max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.integers(-9, 9), st.floats(), strings)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4), max_leaves=12
)
spaces = st.sampled_from(["", " ", "\n", "\t\r\n  "])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """JSON texts, written in either style of escapes."""
    value = draw(values)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    return f"{draw(spaces)}{text}{draw(spaces)}"


@st.composite
def slicings(draw: st.DrawFn, source: st.SearchStrategy[str] | None = None) -> list[str]:
    text = draw(source if source is not None else texts())
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(slicings())
def test_at_the_end_the_value_is_what_json_reads(pieces: list[str]) -> None:
    reader = read(pieces)
    assert not reader.broken
    assert same(reader.value, json.loads("".join(pieces)))


@given(texts())
@example('{"a": "\\ud83d\\ude00", "b": [1, 2.5, true, null, "\\u00e9\\n"], "c": {"d": {}}}')
def test_one_character_at_a_time_shows_only_what_is_certain(text: str) -> None:
    final = json.loads(text)
    reader = PartialReader()
    revision, shown = reader.revision, "UNSET"
    for char in text:
        reader.feed(char)
        value = reader.value
        assert not reader.broken
        assert value is UNSET or is_prefix(value, final)
        # The revision tells of each change, and of nothing else.
        assert (reader.revision != revision) == (repr(value) != shown)
        revision, shown = reader.revision, repr(value)
    reader.close()
    assert same(reader.value, final)


@given(slicings(st.text(st.sampled_from('{}[]":,\\u0d8e1-.tfn \n`'), max_size=30)))
def test_any_text_is_read_as_json_reads_it_or_breaks_the_reader(pieces: list[str]) -> None:
    text = "".join(pieces)
    reader = read(pieces)
    try:
        final = json.loads(text)
    except ValueError:
        assert reader.broken or "`" in text
    else:
        assert not reader.broken
        assert same(reader.value, final)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": 2, "a": {"c": 3}}',
        '{"a": {"b": 1}, "a": {"c": 2}}',
        '{"a": "long", "a": "s"}',
        '{"a": [1, 2], "a": []}',
        "1e999",
        "-1e999",
        "[NaN, Infinity, -Infinity]",
        "-0",
        "-0.0",
        "123456789012345678901234567890",
        "0.1e-7",
        '"\\ud83d"',
        '"\\ud83d\\ud83d\\ude00"',
        '"\\ude00\\ud83d"',
        '"\\\\ud83d\\ude00"',
        '"\\\\\\ud83d\\ude00"',
        '"\\ud83dx\\ud83d\\n"',
        '"\ud83d\\ude00"',
        '{"\\ud83d\\ude00\\"": 1}',
        '{"": ""}',
        '""',
        "[[], {}, [{}], [[]]]",
        "9" * 4300,
    ],
)
def test_what_is_unusual_is_read_as_json_reads_it(text: str) -> None:
    final = json.loads(text)
    for size in (1, 2, 3, 5, 7, 11, len(text)):
        reader = read([text[at : at + size] for at in range(0, len(text), size)])
        assert not reader.broken, size
        assert same(reader.value, final), size


# ---------------------------------------------------------------------------------------------------------------------
# What is shown when


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", UNSET),
        (" ", UNSET),
        ("1", UNSET),
        ("tru", UNSET),
        ("true", UNSET),
        ("true ", True),
        ('"', ""),
        ('"ab', "ab"),
        ('"ab\\', "ab"),
        ('"ab\\n', "ab\n"),
        ('"ab\\u00e', "ab"),
        ('"ab\\u00e9', "abé"),
        ('"ab\\ud83d', "ab"),
        ('"ab\\ud83d\\ude0', "ab"),
        ('"ab\\ud83d\\ude00', "ab\U0001f600"),
        ('"ab\\ud83dx', "ab\ud83dx"),
        ("{", {}),
        ('{"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": 1', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": "', {"a": ""}),
        ('{"a": [', {"a": []}),
        ('{"a": [1, 2', {"a": [1]}),
        ('{"a": 1, "a": "x', {"a": "x"}),
        ('\ufeff ```json\n{"a": 1}\n```', {"a": 1}),
        ("```\n[1]```", [1]),
        ("```js", UNSET),
    ],
)
def test_what_is_shown_before_the_end(text: str, shown: object) -> None:
    for pieces in ([text], list(text)):
        reader = read(pieces, close=False)
        assert same(reader.value, shown)
        assert not reader.broken


@pytest.mark.parametrize(
    ("text", "shown", "broken"),
    [
        ("12", 12, False),
        ("12e", UNSET, True),
        ("[12", [], True),  # the next digit may have been cut off
        ('{"a": "x\\ud83d', {"a": "x"}, True),
        ('"abc', "abc", True),
        ('{"a', {}, True),
        ("", UNSET, True),
        ("```", UNSET, True),
        ("[1]", [1], False),
    ],
)
def test_what_the_end_makes_certain(text: str, shown: object, broken: bool) -> None:
    reader = read([text])
    assert same(reader.value, shown)
    assert reader.broken is broken
    reader.feed('{"more": 1}')
    reader.close()
    assert same(reader.value, shown)
    assert reader.broken is broken


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": 1, x', {"a": 1}),
        ('{"a": 1 "b"', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("[1,]", [1]),
        ("[,", []),
        ("[1}", [1]),
        ('{"a": 1]', {"a": 1}),
        ('{"a" 1', {}),
        ("{1: 2}", {}),
        ('["ab\\x', ["ab"]),
        ('["ab\n', ["ab"]),
        ('["ab\\u12x4', ["ab"]),
        ("[01,", []),
        ("[1-2,", []),
        ("[truth,", []),
        ("[1] [", [1]),
        ("Sure: {", UNSET),
        ("[" + "9" * 4301 + ",", []),
    ],
)
def test_broken_text_ends_the_growth_and_keeps_what_was_certain(text: str, shown: object) -> None:
    for pieces in ([text], list(text)):
        reader = read(pieces, close=False)
        assert reader.broken
        assert same(reader.value, shown)
        revision = reader.revision
        reader.feed('"], 1]}')
        reader.close()
        assert same(reader.value, shown)
        assert reader.revision == revision


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded(opening: str) -> None:
    assert not read([opening * 128], close=False).broken
    reader = read([opening * 129], close=False)
    assert reader.broken
    depth, value = 0, [reader.value]
    while value:
        depth, value = depth + 1, list(value[0].values() if isinstance(value[0], dict) else value[0])
    assert depth == 128
    assert read([opening * 1_000_000]).broken


def test_containers_are_live() -> None:
    reader = read(['{"a": [1,'], close=False)
    value = reader.value
    reader.feed(' 2], "b": {}}')
    assert reader.value is value
    assert value == {"a": [1, 2], "b": {}}


# ---------------------------------------------------------------------------------------------------------------------
# What it costs


class Meter:
    """Counts the characters that the reader's patterns pass over, and what it joins to show a string."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scanned = self.copied = 0
        for name, value in list(vars(partial).items()):
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(partial, name, Metered(value, self))
        join = "".join

        def counting(pieces: list[str]) -> str:
            whole = join(pieces)
            self.copied += len(whole) + len(pieces)
            return whole

        monkeypatch.setattr(partial, "_join", counting)


class Metered:
    def __init__(self, pattern: re.Pattern[str], meter: Meter) -> None:
        self.pattern, self.meter = pattern, meter

    def match(self, text: str, *bounds: int) -> re.Match[str] | None:
        found = self.pattern.match(text, *bounds)
        self.meter.scanned += 1 + (len(found[0]) if found else 0)
        return found


def sliced(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


SIZE = 200_000
COSTLY = {
    "one string": '"' + "x" * SIZE + '"',
    "escapes": '"' + "\\u00e9" * (SIZE // 6) + '"',
    "backslashes": '"' + "\\\\" * (SIZE // 2) + '"',
    "surrogates": '"' + "\\ud83d\\ude00" * (SIZE // 12) + '"',
    "half surrogates": '"' + "\\ud83d" * (SIZE // 6) + '"',
    "a number": "[0." + "1" * SIZE + "]",
    "a key": '{"' + "k" * SIZE + '": 1}',
    "space": "[" + " " * SIZE + "]",
    "a list": "[" + "1, " * (SIZE // 3) + "1]",
    "objects": "[" + '{"name": "x", "n": [1, 2]}, ' * (SIZE // 28) + "0]",
    "a fence": "```" + "j" * SIZE + "\n1",
    "letters": "t" * SIZE,
}


@pytest.mark.parametrize("size", [1, 4, 37, SIZE * 2])
@pytest.mark.parametrize("name", COSTLY)
def test_the_work_is_linear_in_the_text_however_it_comes(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(monkeypatch)
    text = COSTLY[name]
    reader = PartialReader()
    for piece in sliced(text, size):
        reader.feed(piece)
        assert reader.value is not None
    reader.close()
    assert meter.scanned <= 20 * len(text)  # an escape that comes by characters is looked at anew with each
    assert meter.copied <= 36 * len(text)


def test_a_long_string_is_shown_in_steps_and_exact_at_its_end() -> None:
    reader = PartialReader()
    reader.feed('["')
    looks: list[int] = []
    for _ in range(2000):
        before = reader.revision
        reader.feed("abcd")
        shown = len(reader.value[0])
        looks += [shown] if reader.revision != before else []
    assert looks[:16] == list(range(4, 68, 4)), "a short string is shown with each delta"
    assert all(late - early >= early / 32 for early, late in itertools.pairwise(looks[17:]))
    assert 8000 - looks[-1] < 8000 / 32
    reader.feed('"')
    assert reader.value == ["abcd" * 2000]
