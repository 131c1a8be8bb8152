"""Every conversation of the service's documentation, through a real client and the emulator, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from inference_async import BadRequestError, ChatCompletion, ContentFilterError, InferenceClient
from inference_async.emulator import Emulator
from inference_async.wire.codec import plain
from tests.support import CONVERSATIONS

WITH_ANSWER = [name for name, row in CONVERSATIONS.items() if "request" in row and "error" not in row]


async def both(
    client: InferenceClient, request: Mapping[str, Any], **more: Any
) -> tuple[ChatCompletion, ChatCompletion]:
    options = {name: value for name, value in request.items() if name not in ("messages", "stream")}
    whole = await client.complete(request["messages"], **options, **more)
    async with client.stream(request["messages"], **options, **more) as stream:
        return whole, await stream.final()


def expected(name: str) -> dict[str, Any]:
    row = CONVERSATIONS[name]
    answer: dict[str, Any] = CONVERSATIONS[row.get("same_answer_as", name)]["answer"]
    return answer


def check(name: str, completion: ChatCompletion) -> None:
    """The completion says what the conversation's answer says, field by field."""
    answer = expected(name)
    choice = answer["choices"][0]
    message = {name: value for name, value in choice["message"].items() if value is not None}
    got = {"role": "assistant", "content": completion.message.content, **plain(completion.message)}
    assert got == message
    assert completion.finish_reason == choice["finish_reason"]
    assert plain(completion.usage) == answer["usage"]


@pytest.mark.parametrize("name", [name for name in WITH_ANSWER if "answer_has" not in CONVERSATIONS[name]])
async def test_conversation_whole_and_streamed(client: InferenceClient, name: str) -> None:
    whole, streamed = await both(client, CONVERSATIONS[name]["request"])
    check(name, whole)
    check(name, streamed)
    assert whole.message == streamed.message
    assert whole.usage == streamed.usage
    assert whole.model == streamed.model == f"emulator/{CONVERSATIONS[name]['request']['model']}"


async def test_json_mode_cut_is_a_cut_answer_and_no_error(client: InferenceClient) -> None:
    whole, streamed = await both(client, CONVERSATIONS["json-mode-cut"]["request"])
    for completion in (whole, streamed):
        assert completion.finish_reason == "length"
        assert completion.text
        with pytest.raises(json.JSONDecodeError):
            json.loads(completion.text)
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 6
    assert whole.message == streamed.message


async def test_extra_parameter_passes_through_to_the_model(emulator: Emulator) -> None:
    row = CONVERSATIONS["extra-parameter"]
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        request = dict(row["request"])
        extra = {"logprobs": request.pop("logprobs")}
        whole, streamed = await both(client, request, extra=extra)
        for completion in (whole, streamed):
            logprobs = completion.choices[0].logprobs
            assert logprobs is not None
            assert logprobs.content is not None
            assert "".join(entry.token for entry in logprobs.content) == completion.text
            assert completion.usage is not None
            assert len(logprobs.content) == completion.usage.completion_tokens
        assert whole.choices == streamed.choices


async def test_extra_parameter_without_the_header_is_refused_in_the_services_words(emulator: Emulator) -> None:
    row = CONVERSATIONS["extra-parameter"]
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.complete(row["request"]["messages"], model="m", extra={"logprobs": True}, extra_mode="error")
    assert caught.value.status == row["without_the_header"]["status"]
    assert caught.value.detail == row["without_the_header"]["body"]["detail"]
    assert "extra_mode='pass-through'" in str(caught.value)


@pytest.mark.parametrize("as_struct", [True, False], ids=["message", "dict"])
async def test_tool_conversation_both_turns(client: InferenceClient, *, as_struct: bool) -> None:
    first, second = CONVERSATIONS["tool-call"], CONVERSATIONS["tool-result"]
    request = first["request"]
    options = {name: request[name] for name in ("tools", "tool_choice")}
    for asked in await both(client, request):
        message = asked.message if as_struct else plain(asked.message) | {"content": asked.message.content}
        follow = {**options, "messages": [*request["messages"], message, *second["append"]]}
        for answered in await both(client, follow):
            check("tool-result", answered)
        assert asked.tool_calls[0].function.call_id is None, "null, as the service sends it, and so it goes back"


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_refused_prompt(client: InferenceClient, way: str) -> None:
    row = CONVERSATIONS["content-filter"]
    messages = row["request"]["messages"]
    asked = client.complete(messages) if way == "complete" else client.stream(messages).final()
    with pytest.raises(ContentFilterError) as caught:
        await asked
    error = caught.value
    assert error.status == 400
    body = json.loads(error.body)["error"]
    assert {name: body[name] for name in row["error"]["body"]["error"]} == row["error"]["body"]["error"]
    assert error.code == "content_filter"
    assert error.param == "prompt"
    assert error.categories["violence"] == {"filtered": True, "severity": "medium"}
    assert "violence" in str(error)
    assert "hate" not in str(error)
