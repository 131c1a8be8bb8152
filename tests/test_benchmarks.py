"""What the benchmarks rest on: the server paces as it says, and the results that are checked in are those quoted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import report
from benchmarks.clients import CLIENTS, FLOOR, OURS
from benchmarks.goals import verdicts
from benchmarks.imports import BELOW, CLIENT, FACE, STATEMENTS, modules
from benchmarks.measured import acknowledging
from benchmarks.server import PIECES, WORDS, Running, running, text_of


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        yield server


async def test_a_paced_chunk_is_one_read(server: Running) -> None:
    acknowledge = acknowledging(server.pipe)
    reads: list[bytes] = []

    def arrived(data: bytes) -> None:
        reads.append(data)
        acknowledge(data)

    async with CLIENTS[FLOOR].open(server.url) as calls:
        await calls.stream("paced-20", arrived)
    payloads = [piece.split(b"\r\n")[1] for piece in PIECES]
    assert reads[:20] == [payloads[at % 2] for at in range(20)]
    assert b"[DONE]" in b"".join(reads[20:])


async def test_the_server_answers_as_the_model_says(server: Running) -> None:
    acknowledge = acknowledging(server.pipe)
    async with CLIENTS[OURS].open(server.url) as calls:
        assert await calls.request("whole") == WORDS
        for model in ("coalesced-7", "paced-7"):
            texts: list[str] = []

            def arrived(text: str, texts: list[str] = texts) -> None:
                texts.append(text)
                acknowledge(text)

            await calls.stream(model, arrived)
            assert "".join(texts) == text_of(7)


def test_what_the_imports_load_is_counted() -> None:
    """Beyond its dependencies the client loads its own modules, and a handful of the standard library's."""
    below, client = modules(STATEMENTS[BELOW]), modules(STATEMENTS[CLIENT])
    ours = {name for name in client if name.startswith("inference_async")}
    assert len(ours) <= 49
    assert len(client - ours - below) <= 15, "anyio's parts, and two of the standard library"
    assert len(modules(STATEMENTS[FACE])) <= 15


def test_the_page_quotes_the_results_that_are_checked_in() -> None:
    results = report.load()
    assert verdicts(results)
    page = report.PAGE.read_text()
    for table in report.tables(results):
        if f"<!-- {table.title} -->" in page:
            assert str(table) in page, f"{table.title}: out of step; run `python -m benchmarks report`"
    assert report.described(results["machine"]) in page
    assert (report.FOLDER / "results.md").read_text() == report.markdown(results)
