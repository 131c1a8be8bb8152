"""The calls of one answer: what each result becomes, what each failure says, and how they run together."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import enum
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from inference_async import ToolCall, ToolError, ToolFinished, ToolMessage, ToolStarted, Usage, tool
from inference_async.tools import ToolLike, ToolRunEvent
from inference_async.tools.calls import Caller
from inference_async.tools.offer import Offer
from tests.tools.support import answer, call


async def run(
    tools: list[ToolLike],
    *calls: ToolCall,
    max_concurrency: int = 8,
    limit: float | None = 60.0,
    tell: bool = True,
    emit: Callable[[ToolRunEvent], None] = lambda event: None,
) -> list[Any]:
    """What the model is told, decoded; one entry for each call."""
    caller = Caller(Offer(tools), max_concurrency=max_concurrency, timeout=limit, tell=tell)
    work = caller.run(1, calls, ["before"], answer(*calls), emit)  # type: ignore[list-item]  # any object is a history
    messages = await asyncio.create_task(work)
    assert [message.tool_call_id for message in messages] == [each.id for each in calls]
    return [json.loads(str(message.content)) for message in messages]


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    label: str | msgspec.UnsetType = msgspec.UNSET


@dataclass
class Size:
    width: int


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (" [1,  2]\n", " [1,  2]\n"),
        ("rain", '"rain"'),
        ("12", '"12"'),
        ("{not json}", '"{not json}"'),
        ("", '""'),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        ([Point(1)], '[{"x":1}]'),
        (Size(3), '{"width":3}'),
        (Colour.RED, '"red"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        ("ä", '"ä"'),
        (Usage(prompt_tokens=1, unknown_fields={"cost": 2}), '{"prompt_tokens":1,"cost":2}'),
    ],
    ids=repr,
)
async def test_a_result_goes_as_json_text(result: object, content: str) -> None:
    async def f() -> object:
        return result

    messages = await Caller(Offer([f]), max_concurrency=1, timeout=None, tell=True).run(
        1, [call("f")], [], answer(call("f")), lambda event: None
    )
    assert messages == [ToolMessage(content, tool_call_id="id-f")]


async def test_a_pydantic_model_is_a_result_too() -> None:
    import pydantic

    model: Any = pydantic.create_model("Order", day=(dt.date, ...))

    def f() -> object:
        return {"order": model(day="2026-01-02")}

    assert await run([f], call("f")) == [{"order": {"day": "2026-01-02"}}]


@pytest.mark.parametrize("result", [object(), "\ud800", {"a": {1j}}], ids=["object", "surrogate", "complex"])
async def test_a_result_without_a_json_form_is_an_error(result: object) -> None:
    async def f() -> object:
        return result

    [told] = await run([f], call("f"))
    assert f"the result, of type {type(result).__name__}, has no JSON form" in told["error"]
    with pytest.raises(ToolError, match="has no JSON form"):
        await run([f], call("f"), tell=False)


def divide(a: int, b: int) -> float:
    return a / b


class Even:
    def __init__(self, value: int) -> None:
        self.value = value


@dataclass
class Picky:
    x: int

    def __post_init__(self) -> None:
        raise RuntimeError("not today")


def picky(it: Picky) -> None: ...


@tool(timeout=0.001)
async def slow() -> None:
    await asyncio.Event().wait()


async def shouting() -> None:
    raise LookupError("x" * 5000)


async def impatient() -> None:
    raise TimeoutError("of its own")


async def bereft() -> None:
    lost = asyncio.create_task(asyncio.Event().wait())
    lost.cancel()
    await lost


FAILURES: dict[str, tuple[ToolCall, list[str], type[BaseException] | None]] = {
    "raising": (call("divide", {"a": 1, "b": 0}), ["ZeroDivisionError: ", "division"], ZeroDivisionError),
    "unknown": (call("invented", {}), ["no tool 'invented'", "divide, picky, slow"], None),
    "mistyped": (call("divide", {"a": 1, "b": "x"}), ["do not fit", "$.b", "int"], ValueError),
    "missing": (call("divide", {"a": 1}), ["do not fit", "`b`"], ValueError),
    "cut": (call("divide", '{"a": 1, "b'), ["do not fit"], ValueError),
    "refused by a type": (call("picky", {"it": {"x": 1}}), ["do not fit", "not today"], Exception),
    "too slow": (call("slow"), ["took longer than 0.001 seconds"], TimeoutError),
    "its own timeout": (call("impatient"), ["TimeoutError: of its own"], TimeoutError),
    "its own cancellation": (call("bereft"), ["something it waited for was cancelled"], asyncio.CancelledError),
}
TOOLS: list[ToolLike] = [divide, picky, slow, shouting, impatient, bereft]


@pytest.mark.parametrize(("asked", "words", "_cause"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_told_in_words(asked: ToolCall, words: list[str], _cause: object) -> None:
    events: list[ToolRunEvent] = []
    [told, fine] = await run(TOOLS, asked, call("divide", {"a": 1, "b": 1}), emit=events.append)
    assert list(told) == ["error"]
    for word in words:
        assert word in told["error"]
    assert fine == 1.0
    finished = {event.call.id: event for event in events if isinstance(event, ToolFinished) and event.call is asked}
    assert finished[asked.id].error == told["error"]
    assert finished[asked.id].elapsed > 0


@pytest.mark.parametrize(("asked", "words", "cause"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_may_be_raised(asked: ToolCall, words: list[str], cause: type[BaseException] | None) -> None:
    with pytest.raises(ToolError) as caught:
        await run(TOOLS, asked, tell=False)
    error = caught.value
    for word in (asked.function.name, *words):
        assert word in str(error)
    assert (error.tool, error.call_id) == (asked.function.name, asked.id)
    assert error.completion.tool_calls == [asked]
    assert error.messages == ["before", error.completion.message]
    assert isinstance(error.__cause__, cause) if cause else error.__cause__ is None


async def test_the_words_of_a_tool_are_bounded() -> None:
    [told] = await run(TOOLS, call("shouting"))
    assert told["error"].startswith("LookupError: xxx")
    assert told["error"].endswith("...")
    assert len(told["error"]) == 500


async def test_a_failure_that_is_raised_cancels_the_other_calls_and_keeps_the_results_there_were() -> None:
    quick_done, ended = asyncio.Event(), False

    async def quick() -> int:
        quick_done.set()
        return 1

    async def endless() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def failing() -> None:
        await quick_done.wait()
        raise ValueError("no")

    with pytest.raises(ToolError) as caught:
        await run([quick, endless, failing], call("endless"), call("failing"), call("quick"), tell=False)
    assert ended
    assert caught.value.tool == "failing"
    assert caught.value.messages[2:] == [ToolMessage("1", tool_call_id="id-quick")]


async def test_calls_run_together_and_results_keep_the_order_of_the_calls() -> None:
    gate = asyncio.Event()

    async def first() -> str:
        await gate.wait()
        return "first"

    async def second() -> str:
        gate.set()
        return "second"

    events: list[ToolRunEvent] = []
    assert await run([first, second], call("first"), call("second"), emit=events.append) == ["first", "second"]
    order = [(type(event), event.call.id) for event in events if isinstance(event, ToolStarted | ToolFinished)]
    assert order == [
        (ToolStarted, "id-first"),
        (ToolStarted, "id-second"),
        (ToolFinished, "id-second"),
        (ToolFinished, "id-first"),
    ]


async def test_two_calls_of_one_id_get_a_message_each() -> None:
    assert await run([divide], *[call("divide", {"a": n, "b": 1}, id="same") for n in (1, 2)]) == [1.0, 2.0]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_no_more_run_at_a_time_than_the_limit_allows(limit: int) -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    await run([work], *[call("work", id=str(n)) for n in range(6)], max_concurrency=limit)
    assert most == limit


async def test_waiting_for_a_free_place_is_no_part_of_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    real, running, at_the_start = asyncio.timeout, 0, list[int]()

    def timeout(delay: float | None) -> asyncio.Timeout:
        at_the_start.append(running)
        return real(delay)

    async def busy() -> int:
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        running -= 1
        return 1

    monkeypatch.setattr(asyncio, "timeout", timeout)
    assert await run([busy], *[call("busy", id=str(n)) for n in range(3)], max_concurrency=1, limit=60) == [1, 1, 1]
    assert at_the_start == [0, 0, 0], "the clock of a call starts when no other is in its place"


async def test_a_tool_may_have_no_limit_where_the_run_has_one() -> None:
    @tool(timeout=None)
    async def patient() -> int:
        await asyncio.sleep(0.02)
        return 1

    assert await run([patient], call("patient"), limit=0.001) == [1]


async def test_a_sync_tool_that_takes_too_long_is_no_longer_waited_for() -> None:
    release = threading.Event()

    def stuck() -> None:
        release.wait()

    try:
        [told] = await run([stuck], call("stuck"), limit=0.01)
    finally:
        release.set()
    assert (
        told["error"] == "the tool took longer than 0.01 seconds and is no longer waited for; it may still take effect"
    )


async def test_the_context_of_the_caller_is_seen() -> None:
    variable = contextvars.ContextVar[str]("variable")

    async def a() -> str:
        return variable.get()

    def b() -> str:
        return variable.get()

    variable.set("seen")
    assert await run([a, b], call("a"), call("b")) == ["seen", "seen"]


async def test_a_tool_that_cancels_its_own_task_harms_no_other() -> None:
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    [told, fine] = await run([suicidal, divide], call("suicidal"), call("divide", {"a": 1, "b": 1}))
    assert "it cancelled itself" in told["error"]
    assert fine == 1.0
    with pytest.raises(ToolError, match="it cancelled itself"):
        await run([suicidal], call("suicidal"), tell=False)


async def test_a_cancellation_from_outside_is_never_told() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    events: list[ToolRunEvent] = []
    running = asyncio.create_task(run([endless], call("endless"), emit=events.append))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()
    await ended.wait()
    assert [type(event) for event in events] == [ToolStarted]


async def test_a_slot_means_a_thread() -> None:
    """More at a time than the threads that anyio gives unasked."""
    count = 45
    together = threading.Barrier(count)

    def meet() -> int:
        together.wait(timeout=10)
        return 1

    told = await run([meet], *[call("meet", id=str(n)) for n in range(count)], max_concurrency=count)
    assert told == [1] * count


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("speechless")


@dataclass
class Mumbling:
    x: int

    def __post_init__(self) -> None:
        raise MuteError


class Unsayable:
    def model_dump(self, *, mode: str) -> object:
        raise MuteError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad \udcff"), "ValueError: bad \\udcff"),
        (MuteError(), "MuteError"),
        (ValueError(), "ValueError"),
    ],
    ids=["surrogate", "mute", "empty"],
)
async def test_an_error_that_cannot_be_said_is_told_as_far_as_it_can(error: Exception, words: str) -> None:
    async def f() -> None:
        raise error

    assert await run([f], call("f")) == [{"error": words}]
    with pytest.raises(ToolError) as caught:
        await run([f], call("f"), tell=False)
    assert str(caught.value) == f"the tool 'f' failed: {words}"


async def test_arguments_and_results_may_fail_without_words_too() -> None:
    def f(it: Mumbling) -> None: ...

    def g() -> Unsayable:
        return Unsayable()

    arguments, result = await run([f, g], call("f", {"it": {"x": 1}}), call("g"))
    assert arguments["error"] == "the arguments do not fit: the type itself refused it: MuteError (at $)"
    assert result["error"] == "the result, of type Unsayable, has no JSON form: MuteError"


@pytest.mark.parametrize(("limit", "words"), [(1, "1 second and"), (2, "2 seconds and"), (0.5, "0.5 seconds and")])
async def test_seconds_are_worded_right(limit: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda delay: real(0 if delay == limit else delay))

    async def wait() -> None:
        await asyncio.Event().wait()

    [told] = await run([wait], call("wait"), limit=limit)
    assert told["error"] == f"the tool took longer than {words} was stopped"


LOGGED: dict[str, tuple[ToolCall, int, str, type[BaseException] | None]] = {
    "raising": (call("divide", {"a": 7654321, "b": 0}), logging.WARNING, "the tool failed", ZeroDivisionError),
    "too slow": (call("slow"), logging.WARNING, "took longer", TimeoutError),
    "no JSON": (call("odd", {"a": 7654321}), logging.WARNING, "has no JSON form", TypeError),
    "cancelled": (call("bereft"), logging.WARNING, "cancelled", asyncio.CancelledError),
    "mistyped": (call("divide", {"a": 7654321, "b": "x"}), logging.INFO, "do not fit", None),
    "unknown": (call("invented", {"a": 7654321}), logging.INFO, "no such tool", None),
}


def odd(a: int) -> object:
    return {str(a): object()}


@pytest.mark.parametrize(("asked", "level", "words", "error"), LOGGED.values(), ids=LOGGED)
async def test_what_the_model_is_told_is_logged(
    asked: ToolCall, level: int, words: str, error: type[BaseException] | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "inference_async.tools"):
        await run([*TOOLS, odd], asked, call("divide", {"a": 1, "b": 1}, id="fine"))
    [record] = caplog.records
    assert (record.name, record.levelno) == ("inference_async.tools", level)
    for word in (repr(asked.function.name), repr(asked.id), words):
        assert word in record.getMessage()
    assert "7654321" not in caplog.text, "neither arguments nor results"
    if error is None:
        assert record.exc_info is None
    else:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], error)


async def test_what_is_raised_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(ToolError):
        await run(TOOLS, call("divide", {"a": 1, "b": 0}), tell=False)
    assert not caplog.records


def test_nothing_is_printed_when_nobody_listens() -> None:
    """In a process of its own, where logging was never set up."""
    code = LEAVING.format(name="f", error="ValueError").replace('answer(call("f"))', 'answer(call("f")), answer("x")')
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (process.stdout, process.stderr, process.returncode) == ("", "", 0)


class Stop(BaseException):
    pass


async def test_what_is_no_ordinary_error_is_never_told() -> None:
    async def f() -> None:
        raise Stop

    with pytest.raises(Stop):
        await run([f], call("f"))


LEAVING = """
import asyncio, sys
from inference_async.tools import run_tools
from tests.tools.support import FakeClient, answer, call
def f(): raise {error}
async def g(): raise {error}
async def main():
    await run_tools(FakeClient(answer(call("{name}"))), "hi", tools=[f, g])
try:
    asyncio.run(main())
except {error}:
    print("left")
"""


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("name", ["f", "g"], ids=["sync", "async"])
def test_leaving_the_program_is_never_told(name: str, error: str) -> None:
    """In a process of its own, which it ends."""
    code = LEAVING.format(name=name, error=error)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (process.stdout, process.returncode) == ("left\n", 0)
    assert "was never" not in process.stderr
