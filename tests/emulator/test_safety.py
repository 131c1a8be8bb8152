"""Content safety in its three timings: the prompt, the answer, and behind the answer."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator, Script
from tests.emulator.asking import AZURE, ask, text_of, user

SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
NOBODY = {"id": "", "object": "", "created": 0, "model": ""}
LONG = "word " * 60
LATE = Script.from_json(b'{"rules": [{"answer": {"content": "%s", "late_filter": true}}]}' % LONG.strip().encode())
CUT = Script.from_json(
    b'{"rules": [{"answer": {"content": "%s", "late_filter": true, "filtered": 20}}]}' % LONG.strip().encode()
)


@pytest.fixture
def annotated() -> Script:
    return Script.from_json(b'{"annotate": true, "rules": []}')


@pytest.mark.parametrize("dialect", AZURE)
async def test_a_whole_answer_is_annotated(http: aiohttp.ClientSession, annotated: Script, dialect: str) -> None:
    async with Emulator(annotated, pace=0) as emulator:
        _, answer, _ = await ask(http, emulator, user("hi"), dialect)
    assert answer["prompt_filter_results"] == [{"prompt_index": 0, "content_filter_results": SAFE}]
    assert answer["choices"][0]["content_filter_results"] == SAFE


@pytest.mark.parametrize("dialect", AZURE)
async def test_a_stream_is_annotated(http: aiohttp.ClientSession, annotated: Script, dialect: str) -> None:
    async with Emulator(annotated, pace=0) as emulator:
        _, chunks, _ = await ask(http, emulator, user("hi there", stream=True), dialect)
    results = [{"prompt_index": 0, "content_filter_results": SAFE}]
    assert chunks[0] == {**NOBODY, "choices": [], "prompt_filter_results": results}
    seen = [chunk["choices"][0]["content_filter_results"] for chunk in chunks[1:]]
    assert seen == [{}, SAFE, SAFE, {}]


async def test_an_answer_that_is_annotated_says_so_itself(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"rules": [{"answer": {"content": "x", "annotate": true, "filtered": 0}}]}')
    async with Emulator(script, pace=0) as emulator:
        _, answer, _ = await ask(http, emulator, user("hi"))
        assert answer["choices"][0]["content_filter_results"]["violence"]["filtered"] is True
        _, chunks, _ = await ask(http, emulator, user("hi", stream=True))
        assert chunks[-1]["choices"][0]["content_filter_results"]["violence"]["filtered"] is True


@pytest.mark.parametrize("stream", [False, True])
async def test_elsewhere_nothing_is_annotated(http: aiohttp.ClientSession, annotated: Script, *, stream: bool) -> None:
    for script in (annotated, LATE):
        async with Emulator(script, pace=0) as emulator:
            _, answer, _ = await ask(http, emulator, user("hi", stream=stream), "generic")
        assert "filter" not in str(answer)


async def test_by_default_there_is_no_annotation(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    for stream in (False, True):
        _, answer, _ = await ask(http, emulator, user("hi", stream=stream))
        assert "filter" not in str(answer)


def notes(chunks: list[Any]) -> list[tuple[int, dict[str, Any]]]:
    """The annotations, and the characters of text before each."""
    return [
        (len(text_of(chunks[:at])), chunk["choices"][0])
        for at, chunk in enumerate(chunks)
        if chunk["choices"] and "delta" not in chunk["choices"][0]
    ]


async def test_the_asynchronous_filter_follows_the_text(http: aiohttp.ClientSession) -> None:
    prompt = "what?"
    async with Emulator(LATE, pace=0) as emulator:
        asked = user(prompt, stream=True, stream_options={"include_usage": True})
        _, chunks, _ = await ask(http, emulator, asked, "openai-v1")
    assert text_of(chunks) == LONG.strip()
    assert chunks[0]["prompt_filter_results"]
    assert chunks[0]["usage"] is None
    found = notes(chunks)
    assert len(found) > 3
    checked = len(prompt)
    for sent, choice in found:
        offsets = choice["content_filter_offsets"]
        assert choice == {
            "index": 0,
            "finish_reason": None,
            "content_filter_results": SAFE,
            "content_filter_offsets": offsets,
        }
        assert offsets == {"check_offset": checked, "start_offset": checked, "end_offset": len(prompt) + sent}
        checked = offsets["end_offset"]
    assert checked == len(prompt + LONG.strip())
    for chunk in chunks:
        if chunk["choices"] and "delta" in chunk["choices"][0]:
            assert "content_filter_results" not in chunk["choices"][0], "text passes without a word"
        elif chunk["choices"]:
            assert {name: chunk[name] for name in NOBODY} == NOBODY
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert reasons[-2:] == ["stop", None], "the last word is an annotation's"
    assert chunks[-1]["usage"]["completion_tokens"] == 60


@pytest.mark.parametrize("dialect", ["openai-v1", "models"])
async def test_a_late_block(http: aiohttp.ClientSession, dialect: str) -> None:
    async with Emulator(CUT, pace=0) as emulator:
        _, chunks, _ = await ask(http, emulator, user("what?", stream=True), dialect)
        _, whole, _ = await ask(http, emulator, user("what?"), dialect)
    assert len("word " * 20) < len(text_of(chunks)) < len(LONG) / 2, "more was sent than should have been"
    last = chunks[-1]["choices"][0]
    assert "delta" not in last
    assert last["finish_reason"] == "content_filter"
    assert last["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}
    offsets = [choice["content_filter_offsets"] for _, choice in notes(chunks)]
    assert offsets[0]["check_offset"] == 5
    assert sorted(row["check_offset"] for row in offsets) == [row["check_offset"] for row in offsets]
    assert offsets[-1]["end_offset"] == 5 + len(text_of(chunks))
    assert ("usage" in chunks[-1]) is (dialect == "models")
    assert (whole["choices"][0]["message"]["content"], whole["choices"][0]["finish_reason"]) == ("", "content_filter")


async def test_a_late_block_of_a_short_answer(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    script = Script.from_json(b'{"rules": [{"answer": {"content": "a b c", "late_filter": true, "filtered": 1}}]}')
    async with Emulator(script, pace=0) as emulator:
        _, chunks, _ = await ask(http, emulator, user("what?", stream=True))
    assert text_of(chunks) == "a b c"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[1:]] == [None] * 4 + ["content_filter"]


async def test_the_shipped_script_has_a_late_block(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    _, chunks, _ = await ask(http, emulator, user("[late-filter]", stream=True))
    assert [choice["finish_reason"] for _, choice in notes(chunks)] == [None, None, "content_filter"]
    assert "should not have been said" in text_of(chunks)


async def test_a_refused_prompt_is_refused_everywhere(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    for dialect in AZURE:
        status, body, headers = await ask(http, emulator, user("[content-filter]", stream=True), dialect)
        assert (status, body["error"]["code"], headers["x-ms-error-code"]) == (400, "content_filter", "content_filter")
