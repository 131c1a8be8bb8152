"""Messages and results as values: made, changed, compared, and written down."""

import asyncio
import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

from azure.ai.inference.models import (
    AssistantMessage,
    ChatChoice,
    ChatCompletions,
    ChatResponseMessage,
    ChatRole,
    CompletionsUsage,
    ContentItem,
    EmbeddingItem,
    EmbeddingsResult,
    EmbeddingsUsage,
    FunctionDefinition,
    StreamingChatCompletionsUpdate,
    SystemMessage,
    TextContentItem,
    ToolMessage,
    UserMessage,
)


async def main() -> None:
    message: Any = UserMessage("hello")
    print(message, repr(message), message == {"role": "user", "content": "hello"}, list(message), dict(message))
    message["name"] = "Ola"
    message.content = [TextContentItem(text="a"), {"type": "text", "text": "b"}]
    print(message.as_dict(), len(message), "name" in message, message.pop("name"), message.get("name", "none"))
    print(json.dumps(message.as_dict()), isinstance(message.content[0], ContentItem), message.content[0].type)
    message.content = None
    print(message, message.content, bool(message))
    message.clear()
    print(message, bool(message))

    system: Any = SystemMessage({"role": "system", "content": "x", "more": 1})
    print(system, system.role, system["more"], copy.deepcopy(system) == system, pickle.loads(pickle.dumps(system)))
    kind: Any = SystemMessage
    for make in (
        lambda: kind("a", "b"),
        lambda: kind("a", color=1),
        lambda: system["missing"],
        lambda: system.missing,
        lambda: json.dumps(system),
        lambda: hash(system),
    ):
        try:
            make()
        except (TypeError, KeyError, AttributeError) as error:
            print(type(error).__name__)

    print(ToolMessage("42", tool_call_id="c1"), ToolMessage(tool_call_id="c1").content, AssistantMessage())
    print(FunctionDefinition(name="f").parameters, FunctionDefinition(name="f", parameters={"type": "object"}))
    print(ChatRole.USER, ChatRole("user") is ChatRole.USER, {"user": 1}[ChatRole.USER], json.dumps(ChatRole.USER))
    print(ChatRole["user"], f"{ChatRole.TOOL}", [role.value for role in ChatRole])

    answer = ChatCompletions(
        id="1",
        created=datetime(2024, 1, 1, tzinfo=UTC),
        model="m",
        choices=[
            ChatChoice(index=0, finish_reason="stop", message=ChatResponseMessage(role="assistant", content="Grüße"))
        ],
        usage=CompletionsUsage(completion_tokens=1, prompt_tokens=1, total_tokens=2),
    )
    print(answer, answer.created, answer["created"], answer.choices[0].finish_reason)
    odd = ChatCompletions({"choices": [{"index": 0, "finish_reason": "eos", "message": {"content": None}}], "x": [1]})
    print(repr(odd), odd.choices[0].finish_reason, odd.choices[0].message.role, odd["x"], odd.created, odd.usage)
    update = StreamingChatCompletionsUpdate({"choices": [{"delta": {"tool_calls": [{"id": "1", "index": 3}]}}]})
    calls = update.choices[0].delta.tool_calls
    print(update, calls and (calls[0].id, calls[0]["index"], calls[0].function))
    vectors = EmbeddingsResult(
        id="1",
        model="m",
        data=[EmbeddingItem(embedding=[0.5], index=0)],
        usage=EmbeddingsUsage(prompt_tokens=1, total_tokens=1),
    )
    print(vectors)


if __name__ == "__main__":
    asyncio.run(main())
