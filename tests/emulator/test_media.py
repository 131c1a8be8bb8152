"""Pictures and sound in a chat: taken, described, refused."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator
from tests.emulator.asking import ask, choice_of, user

DATA = base64.b64encode(b"\x89PNG" + bytes(66)).decode()
PNG = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"}}
WAV = {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}


def part(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, kind: value}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([{"type": "text", "text": "what is it?"}, PNG], "what is it?\n[image: image/png, 70 bytes]"),
        ([PNG, PNG], "[image: image/png, 70 bytes]\n[image: image/png, 70 bytes]"),
        ([part("image_url", {"url": "https://example.com/a.png"})], "[image: https://example.com/a.png]"),
        ([WAV], "[audio: audio/wav, 70 bytes]"),
        ([part("input_audio", {"data": DATA, "format": "mp3"})], "[audio: audio/mpeg, 70 bytes]"),
        ([part("audio_url", {"url": f"data:audio/ogg;codecs=opus;base64,{DATA}"})], "[audio: audio/ogg, 70 bytes]"),
        ([part("audio_url", {"url": "https://example.com/a.wav"})], "[audio: https://example.com/a.wav]"),
        ([part("file", {"file_id": "f"}), {"type": "text", "text": "hi"}], "hi"),
    ],
)
@pytest.mark.parametrize("dialect", ["models", "openai-v1"])
async def test_they_are_described(
    http: aiohttp.ClientSession, emulator: Emulator, parts: list[Any], said: str, dialect: str
) -> None:
    choice = await choice_of(http, emulator, user(parts), dialect)
    assert choice["message"]["content"] == said


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (part("image_url", {"url": "a.png"}), "Invalid image URL"),
        (part("image_url", {"url": "http://example.com/a.png"}), "Invalid image URL"),
        (part("image_url", {"url": "https://"}), "Invalid image URL"),
        (part("image_url", {"url": f"data:text/plain;base64,{DATA}"}), "Invalid image URL"),
        (part("image_url", {"url": f"data:image/png,{DATA}"}), "Invalid image URL"),
        (part("image_url", {"url": DATA}), "Invalid image URL"),
        (part("image_url", {"url": 5}), "Invalid image URL"),
        (part("image_url", {}), "Invalid image URL"),
        (
            part("image_url", "https://example.com/a.png"),
            "Missing required parameter: 'messages[0].content[0].image_url'",
        ),
        (part("image_url", {"url": "data:image/png;base64,a"}), "Invalid base64 image_url"),
        (part("image_url", {"url": "data:image/png;base64,AA?AA="}), "Invalid base64 image_url"),
        (part("image_url", {"url": "data:image/png;base64,"}), "Invalid base64 image_url"),
        (part("audio_url", {"url": f"data:image/png;base64,{DATA}"}), "Invalid audio URL"),
        (part("input_audio", {"data": DATA, "format": "flac"}), "expected one of 'wav', 'mp3'"),
        (part("input_audio", {"data": "?", "format": "wav"}), "Invalid base64 input_audio"),
        (part("input_audio", {"format": "wav"}), "Invalid base64 input_audio"),
    ],
)
async def test_bad_ones_are_refused(http: aiohttp.ClientSession, emulator: Emulator, bad: Any, words: str) -> None:
    status, body, _ = await ask(http, emulator, user([bad]))
    assert status == 400
    assert words in body["error"]["message"]
    assert DATA not in body["error"]["message"]


async def test_a_rule_may_speak_of_a_picture(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    text = {"type": "text", "text": "How many languages are in the world?"}
    assert (await choice_of(http, emulator, user([PNG, text])))["message"]["content"].startswith("Linguists")
    assert (await ask(http, emulator, user([part("image_url", {"url": "a.png"}), text]))).status == 400
