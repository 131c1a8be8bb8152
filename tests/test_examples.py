"""Every example runs as it is, against the emulator, and prints what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
WORDS = {
    "basic.py": ["Linguists count roughly 7,000 living languages", "finish reason: stop", "tokens: 67"],
    "streaming.py": ["a matter of debate.\nfinish reason: stop\ntokens: 67"],
    "tools.py": ["called get_flight_info {", "The train at 09:40 gets you there", "answers: 2, tokens: 494"],
    "typed_answer.py": ["one city: Oslo 717000", "so far: [{'name': 'Oslo'", "cities: 2"],
    "embeddings.py": ["nearest: The train to Oslo", "numbers in a vector: 256 tokens: 34"],
    "tools_by_hand.py": ["the model calls get_flight_info", "The train at 09:40 gets you there"],
    "json_mode.py": ["About 7,100 languages are spoken today"],
    "extra_parameters.py": [
        "passed through: 48 log",
        "dropped: logprobs is None",
        "refused: Extra parameters ['logprobs']",
    ],
    "content_filter.py": ["refused for: violence", "finish reason: content_filter"],
}
ELSEWHERE = {"aiohttp_service.py", "fastapi_service.py", "web_service", "worker.py"}
"""Programs that go on until they are told to end: tests/examples."""


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {*WORDS, *ELSEWHERE}


@pytest.mark.parametrize("name", WORDS)
def test_example(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 60
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
    )
    assert done.returncode == 0, done.stderr
    for words in WORDS[name]:
        assert words in done.stdout
    assert done.stderr.count("\n") == 1, "one line on stderr: that it is the emulator"
    assert "no endpoint is set, so the built-in emulator answers" in done.stderr
