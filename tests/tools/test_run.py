"""`run_tools`: the loop from answer to answer, its events, how it ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from inference_async import (
    UNSET,
    AnswerChunk,
    AnswerFinished,
    ChatCompletion,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    FunctionDefinition,
    InferenceClient,
    RateLimitError,
    ResponseTypeError,
    RunFinished,
    Timeouts,
    ToolDefinition,
    ToolError,
    ToolFinished,
    ToolLoopError,
    ToolMessage,
    ToolRun,
    ToolStarted,
    Usage,
    UserMessage,
    WrongEventLoopError,
    tool,
)
from inference_async.tools import ToolRunEvent, run_tools
from inference_async.types import PromptTokensDetails
from tests.support import CONVERSATIONS, collect
from tests.tools.support import FakeClient, answer, call, scripted, stream_of


@tool
async def add(a: int, b: int) -> int:
    """Adds."""
    await asyncio.sleep(0)
    return a + b


ADD = call("add", {"a": 1, "b": 2})
BAD = call("add", {"a": "x"}, id="bad")
APPROVE = ToolDefinition(FunctionDefinition("approve"))


class Endless:
    """A tool that runs until it is cancelled, and then takes a step to clean up."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def endless(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended.set()


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def until_tool_runs(run: ToolRun[Any]) -> None:
    async for event in run:
        if isinstance(event, ToolStarted):
            return


# The loop


async def test_the_model_is_told_the_results_until_it_answers_without_calls() -> None:
    asked, final = answer("let me see", ADD, call("add", {"a": 5, "b": 5}, id="2")), answer("3 and 10")
    client = FakeClient(asked, final)
    given = ["what is 1 + 2?"]
    run = run_tools(client, given, tools=[add], temperature=0, timeouts=Timeouts(total=5), extra={"x": 1})
    assert await run is final
    history = [
        UserMessage("what is 1 + 2?"),
        asked.message,
        ToolMessage("3", tool_call_id="id-add"),
        ToolMessage("10", tool_call_id="2"),
    ]
    assert [turn["messages"] for turn in client.asked] == [history[:1], history]
    assert run.messages == [*history, final.message]
    assert given == ["what is 1 + 2?"], "a copy"
    for turn in client.asked:
        assert turn["tools"] == [add.definition]
        assert turn["temperature"] == 0
        assert turn["timeouts"] == Timeouts(total=5)
        assert turn["extra"] == {"x": 1}
    assert run.completion is final
    assert run.turns == 2
    assert run.open_calls == []
    assert await run is final, "again"


async def test_events() -> None:
    asked, final = answer(ADD), answer("3")
    events = await collect(run_tools(FakeClient(asked, final), "hi", tools=[add]))
    message = ToolMessage("3", tool_call_id="id-add")
    assert events == [
        AnswerFinished(1, asked),
        ToolStarted(1, ADD),
        ToolFinished(1, ADD, message, None, events[2].elapsed),
        AnswerFinished(2, final),
        RunFinished(final, [UserMessage("hi"), asked.message, message, final.message]),
    ]
    match events[2]:
        case ToolFinished(turn, asked_call, told, None):
            assert (turn, asked_call, told) == (1, ADD, message)
        case _:
            pytest.fail("made for match")
    with pytest.raises(AttributeError):
        events[0].turn = 2


async def test_streamed() -> None:
    client = scripted(stream_of("let me ", "see", ADD), stream_of("three"))
    run = run_tools(client, "hi", tools=[add], stream=True)
    events: list[ToolRunEvent] = await collect(run)
    said = [(event.turn, event.chunk.text) for event in events if isinstance(event, AnswerChunk)]
    assert [piece for piece in said if piece[1]] == [(1, "let me "), (1, "see"), (2, "three")]
    kinds = [type(event) for event in events if not isinstance(event, AnswerChunk)]
    assert kinds == [AnswerFinished, ToolStarted, ToolFinished, AnswerFinished, RunFinished]
    assert run.completion.text == "three"
    assert run.messages[2] == ToolMessage("3", tool_call_id="id-add")
    assert run.usage is not None
    assert run.usage.total_tokens == 6


async def test_calls_are_trusted_more_than_the_finish_reason() -> None:
    client = FakeClient(answer(ADD, finish="stop"), answer("3", finish="tool_calls"))
    assert (await run_tools(client, "hi", tools=[add])).text == "3"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_call_that_was_cut_is_told_so(reason: str) -> None:
    client = FakeClient(answer(call("add", '{"a": 1, "b'), finish=reason), answer("sorry"))
    await run_tools(client, "hi", tools=[add])
    assert "do not fit" in client.asked[1]["messages"][-1].content


async def test_usage_is_the_sum_of_all_turns() -> None:
    first = Usage(prompt_tokens=1, total_tokens=1, prompt_tokens_details=PromptTokensDetails(cached_tokens=4))
    last = Usage(
        prompt_tokens=2, completion_tokens=3, total_tokens=5, prompt_tokens_details=PromptTokensDetails(cached_tokens=1)
    )
    run = run_tools(FakeClient(answer(ADD, usage=first), answer(ADD), answer("x", usage=last)), "hi", tools=[add])
    assert run.usage is None
    await run
    assert run.usage == Usage(
        prompt_tokens=3, completion_tokens=3, total_tokens=6, prompt_tokens_details=PromptTokensDetails(cached_tokens=5)
    )


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": ["add"]}}


@pytest.mark.parametrize(
    ("choice", "later"),
    [
        ("required", "auto"),
        ("any", "auto"),
        ({"type": "function", "function": {"name": "add"}}, "auto"),
        (ALLOWED, {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": ["add"]}}),
        ("auto", "auto"),
        ("none", "none"),
        (None, None),
        (UNSET, UNSET),
    ],
    ids=repr,
)
async def test_a_choice_that_forces_a_call_is_sent_once(choice: Any, later: Any) -> None:
    client = FakeClient(answer(ADD), answer(ADD), answer("3"))
    await run_tools(client, "hi", tools=[add], tool_choice=choice)
    assert [turn["tool_choice"] for turn in client.asked] == [choice, later, later]


async def test_bare_functions_are_tools() -> None:
    def double(x: int) -> int:
        return 2 * x

    client = FakeClient(answer(call("double", {"x": 4})), answer("8"))
    await run_tools(client, "hi", tools=[double])
    assert client.asked[1]["messages"][-1].content == "8"


@pytest.mark.parametrize("messages", ["hi", UserMessage("hi"), [UserMessage("hi")], ("hi",)], ids=repr)
async def test_messages_in_every_shape(messages: Any) -> None:
    client = FakeClient(answer("x"))
    await run_tools(client, messages, tools=[])
    assert client.asked[0]["messages"] == [UserMessage("hi")]


async def test_what_is_no_message_is_refused_by_the_client() -> None:
    with pytest.raises(ConfigurationError, match=r"got messages\[0\] of type int"):
        await run_tools(scripted(), 5, tools=[])  # type: ignore[arg-type]  # what is tested


# Calls that the caller answers


async def test_a_call_of_a_mere_definition_ends_the_run_after_the_others_ran() -> None:
    approve = call("approve", {"what": "3"})
    asked = answer(approve, ADD)
    run = run_tools(FakeClient(asked), "hi", tools=[add, APPROVE], max_turns=1)
    assert await run is asked
    assert run.open_calls == [approve]
    assert run.messages == [UserMessage("hi"), asked.message, ToolMessage("3", tool_call_id="id-add")]


async def test_only_calls_of_mere_definitions() -> None:
    approve = call("approve")
    asked = answer(approve)
    run = run_tools(FakeClient(asked), "hi", tools=[add, APPROVE])
    events = await collect(run)
    assert events == [AnswerFinished(1, asked), RunFinished(asked, [UserMessage("hi"), asked.message])]
    assert run.open_calls == [approve]


async def test_a_typed_answer_is_not_asked_for_where_a_run_may_end_without_one() -> None:
    with pytest.raises(ConfigurationError, match=r"definitions whose calls are not run here \('approve'\)"):
        run_tools(FakeClient(), "hi", tools=[add, APPROVE], finish=lambda completion: completion)


# How it fails


@pytest.mark.parametrize("name", ["tools", "tool_choice"])
def test_what_has_a_keyword_is_refused_in_extra(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"got '{name}' in extra.* use {name}="):
        run_tools(FakeClient(), "hi", tools=[add], extra={"x": 1, name: "required"})


async def test_a_last_answer_that_cannot_be_finished_is_shown_before_the_error() -> None:
    final, error = answer("3"), ResponseTypeError("no", reason="mismatch", text="3", completion=answer("3"))

    def refuse(completion: ChatCompletion) -> ChatCompletion:
        raise error

    run = run_tools(FakeClient(answer(ADD), final), "hi", tools=[add], finish=refuse)
    events: list[ToolRunEvent] = [await anext(run) for _ in range(4)]
    assert events[-1] == AnswerFinished(2, final)
    for _ in range(3):
        with pytest.raises(ResponseTypeError) as caught:
            await anext(run)
        assert caught.value is error


async def test_too_many_turns() -> None:
    last = answer(call("add", {"a": 0, "b": 0}, id="last"))
    run = run_tools(FakeClient(answer(ADD), last), "hi", tools=[add], max_turns=2)
    events: list[ToolRunEvent] = []

    async def read() -> None:
        async for event in run:
            events.append(event)  # noqa: PERF401  (those before the error)

    with pytest.raises(ToolLoopError, match="after 2 answers") as caught:
        await read()
    assert events[-1] == AnswerFinished(2, last)
    assert caught.value.completion is last
    assert caught.value.messages == [*run.messages, last.message]
    assert run.messages[-1] == ToolMessage("3", tool_call_id="id-add")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert twin.messages == caught.value.messages


async def test_a_failing_tool_may_end_the_run() -> None:
    asked = answer(BAD)
    run = run_tools(FakeClient(asked), "hi", tools=[add], on_error="raise")
    errors: list[ToolError] = []
    for _ in range(2):
        with pytest.raises(ToolError) as caught:
            await run
        errors.append(caught.value)
    assert errors[0] is errors[1], "it keeps failing with the same error"
    assert errors[0].messages == [UserMessage("hi"), asked.message]
    assert run.messages == [UserMessage("hi")], "ready for the next request"
    with pytest.raises(ClientStateError, match="no final answer"):
        _ = run.completion


async def test_an_error_of_the_client_ends_the_run() -> None:
    error = RateLimitError("slow down", status=429)
    run = run_tools(FakeClient(answer(ADD), error), "hi", tools=[add])
    for _ in range(2):
        with pytest.raises(RateLimitError) as caught:
            await run
        assert caught.value is error
    assert len(run.messages) == 3


@pytest.mark.parametrize(
    "options",
    [{"max_turns": 0}, {"max_concurrency": 0}, {"max_turns": "3"}, {"tool_timeout": 0}, {"on_error": "ignore"}],
    ids=repr,
)
def test_numbers_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        run_tools(FakeClient(), "hi", tools=[add], **options)


async def test_before_the_end_there_is_no_completion() -> None:
    run = run_tools(FakeClient(answer("x")), "hi", tools=[])
    with pytest.raises(ClientStateError, match="no final answer yet"):
        _ = run.completion
    assert "not begun" in repr(run)
    await run
    assert "complete, 1 turns" in repr(run)


# How it is left


async def test_tools_start_when_the_next_event_is_asked_for() -> None:
    tools = Endless()
    async with run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless]) as run:
        assert isinstance(await anext(run), AnswerFinished)
        await asyncio.sleep(0)
        assert not tools.started.is_set()


async def test_tools_run_on_while_the_consumer_thinks_and_end_with_the_context() -> None:
    tools = Endless()
    async with run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless]) as run:
        await until_tool_runs(run)
        await asyncio.sleep(0)
        assert not tools.ended.is_set()
    assert tools.ended.is_set(), "waited for"
    assert not others()
    for _ in range(2):
        await run.aclose()
        with pytest.raises(ClientClosedError, match="the run was closed before its end"):
            await anext(run)


async def test_another_task_may_close_while_one_waits_for_a_tool() -> None:
    tools = Endless()
    run = run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless])
    reading = asyncio.create_task(collect(run))
    await tools.started.wait()
    await asyncio.gather(run.aclose(), run.aclose())
    assert tools.ended.is_set()
    with pytest.raises(ClientClosedError):
        await reading
    assert not others()


async def test_another_task_may_close_while_one_waits_for_the_answer() -> None:
    client = FakeClient()
    client.waiting = asyncio.Event()
    run = run_tools(client, "hi", tools=[])
    reading = asyncio.create_task(collect(run))
    await client.waiting.wait()
    await run.aclose()
    assert client.cancelled == 1
    with pytest.raises(ClientClosedError):
        await reading


async def test_closing_closes_the_stream_under_way() -> None:
    reply = stream_of("a", "b", "c")
    run = run_tools(scripted(reply), "hi", tools=[], stream=True)
    await anext(run)
    await run.aclose()
    assert reply.closed


async def test_a_tool_may_close_the_run() -> None:
    async def stop() -> None:
        await run.aclose()
        await asyncio.Event().wait()

    run = run_tools(FakeClient(answer(call("stop"))), "hi", tools=[stop])
    with pytest.raises(ClientClosedError):
        await run
    assert not others()


async def test_closing_waits_for_the_tools_however_often_it_is_cancelled() -> None:
    tools = Endless()
    run = run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless])
    await until_tool_runs(run)
    await tools.started.wait()
    closing = asyncio.create_task(run.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert tools.ended.is_set()
    assert not others()


async def test_closing_after_the_end_changes_nothing() -> None:
    async with run_tools(FakeClient(answer("x")), "hi", tools=[]) as run:
        await run
    assert await run is run.completion


async def test_a_run_that_is_dropped_cancels_its_tools() -> None:
    tools = Endless()
    runs = [run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless])]
    await until_tool_runs(runs[0])
    await tools.started.wait()
    with pytest.warns(ResourceWarning, match="a ToolRun was dropped while its tools ran"):
        runs.clear()
    async with asyncio.timeout(5):
        await tools.ended.wait()


async def test_one_task_reads_at_a_time() -> None:
    tools = Endless()
    async with run_tools(FakeClient(answer(call("endless"))), "hi", tools=[tools.endless]) as run:
        reading = asyncio.create_task(collect(run))
        await tools.started.wait()
        with pytest.raises(ClientStateError, match="another task"):
            await anext(run)
    with pytest.raises(ClientClosedError):
        await reading


async def test_tools_see_the_callers_context() -> None:
    variable = contextvars.ContextVar[str]("variable")

    async def f() -> str:
        return variable.get()

    variable.set("seen")
    client = FakeClient(answer(call("f")), answer("x"))
    await run_tools(client, "hi", tools=[f])
    assert client.asked[1]["messages"][-1].content == '"seen"'


Making = Callable[[list[str]], ToolRun[Any]]


def whole(log: list[str]) -> ToolRun[Any]:
    return run_tools(FakeClient(answer(call("f"), call("g")), answer(call("f")), answer("x")), "hi", tools=logged(log))


def in_pieces(log: list[str]) -> ToolRun[Any]:
    client = scripted(stream_of("a", call("f"), call("g")), stream_of(call("f")), stream_of("x"))
    return run_tools(client, "hi", tools=logged(log), stream=True)


def logged(log: list[str]) -> list[Any]:
    async def work() -> None:
        log.append("begin")
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            log.append("end")

    async def f() -> None:
        await work()

    async def g() -> None:
        await work()

    return [f, g]


@pytest.mark.parametrize("how", ["cancel", "aclose"])
@pytest.mark.parametrize("make", [whole, in_pieces], ids=["whole", "streamed"])
async def test_ended_at_any_step_no_task_is_left_and_every_tool_has_cleaned_up(make: Making, how: str) -> None:
    in_a_tool = 0
    for step in range(1, 200):  # at 0 it has not begun
        log: list[str] = []
        run = make(log)
        reading = asyncio.create_task(collect(run))
        for _ in range(step):
            await asyncio.sleep(0)
        if reading.done():
            break
        in_a_tool += log.count("begin") - log.count("end")
        if how == "cancel":
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        else:
            await run.aclose()
            with pytest.raises(ClientClosedError):
                await reading
        assert others() == set(), step
        assert log.count("begin") == log.count("end"), step
        with pytest.raises(ClientClosedError):
            await run
    else:
        pytest.fail("the run never ends")
    assert step > 8
    assert in_a_tool > 3, "some steps were within a tool"


# With the real client, over HTTP


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_documented_conversation(client: InferenceClient, *, stream: bool) -> None:
    """The service's own example, from the question to the last answer."""
    row, last = CONVERSATIONS["tool-call"], CONVERSATIONS["tool-result"]
    asked: list[tuple[str, str]] = []

    @tool
    def get_flight_info(origin_city: str, destination_city: str) -> dict[str, str]:
        """Looks up the next flight between two cities: airline, flight number, date and time.

        Args:
            origin_city: City of departure
            destination_city: City of arrival
        """
        asked.append((origin_city, destination_city))
        return {"info": "No flight today. The train leaves at 09:40."}

    run = run_tools(client, row["request"]["messages"], tools=[get_flight_info], stream=stream, tool_choice="required")
    completion = await run
    assert completion.text == last["answer"]["choices"][0]["message"]["content"]
    assert asked == [("Miami", "Seattle")]
    assert run.turns == 2
    assert run.usage is not None
    assert run.usage.total_tokens == 226 + 268
    assert run.messages[:2] == row["request"]["messages"]
    result = run.messages[3]
    assert isinstance(result, ToolMessage)
    assert result.tool_call_id == "abc0dF1gh"
    assert result.content == '{"info":"No flight today. The train leaves at 09:40."}'


def test_a_run_belongs_to_the_event_loop_of_its_first_step() -> None:
    run = run_tools(FakeClient(answer(ADD), answer("3")), "hi", tools=[add])

    async def step() -> ToolRunEvent:
        return await run.__anext__()

    async def close() -> None:
        await run.aclose()

    with asyncio.Runner() as own, asyncio.Runner() as other:
        assert isinstance(own.run(step()), AnswerFinished)
        for wrong in (step, close, step):
            with pytest.raises(WrongEventLoopError, match="event loop of its first step"):
                other.run(wrong())
        assert isinstance(own.run(step()), ToolStarted), "it is none the worse for it"
        own.run(close())
