"""Tools in two turns: what the model asks for is run, and told back."""

import asyncio
import json
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import (
    AssistantMessage,
    ChatCompletionsNamedToolChoice,
    ChatCompletionsNamedToolChoiceFunction,
    ChatCompletionsToolCall,
    ChatCompletionsToolChoicePreset,
    ChatCompletionsToolDefinition,
    CompletionsFinishReason,
    FunctionDefinition,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential


def get_flight_info(origin_city: str, destination_city: str) -> str:
    return json.dumps({"info": f"There is no flight from {origin_city} to {destination_city}."})


flight_info = ChatCompletionsToolDefinition(
    function=FunctionDefinition(
        name="get_flight_info",
        description="The next flight between two cities",
        parameters={
            "type": "object",
            "properties": {"origin_city": {"type": "string"}, "destination_city": {"type": "string"}},
            "required": ["origin_city", "destination_city"],
        },
    )
)


async def main() -> None:
    client = ChatCompletionsClient(
        os.environ["AZURE_AI_CHAT_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]), model="m"
    )
    async with client:
        messages = [SystemMessage("You assist travellers."), UserMessage("What is the next flight to Seattle?")]
        response = await client.complete(messages=messages, tools=[flight_info])
        print(response.choices[0].finish_reason == CompletionsFinishReason.TOOL_CALLS)
        calls = response.choices[0].message.tool_calls
        if calls is not None:
            messages.append(AssistantMessage(tool_calls=calls))
            for call in calls:
                if isinstance(call, ChatCompletionsToolCall):
                    arguments = json.loads(call.function.arguments.replace("'", '"'))
                    print(call.type, call.id, call.function.name, arguments, call["function"]["name"])
                    result = globals()[call.function.name](**arguments)
                    messages.append(ToolMessage(result, tool_call_id=call.id))
        response = await client.complete(messages=messages, tools=[flight_info])
        print(response.choices[0].message.content, response.choices[0].finish_reason)

        # The answer itself may be part of the history, too.
        first = await client.complete(messages=messages[:2], tools=[flight_info], tool_choice="auto")
        history: list[Any] = [
            *messages[:2],
            first.choices[0].message,
            ToolMessage(content="none", tool_call_id="abc0dF1gh"),
        ]
        second = await client.complete(messages=history, tools=[flight_info])
        print(second.choices[0].message.content)

        named = ChatCompletionsNamedToolChoice(function=ChatCompletionsNamedToolChoiceFunction(name="get_flight_info"))
        for choice in (named, ChatCompletionsToolChoicePreset.REQUIRED, ChatCompletionsToolChoicePreset.NONE):
            forced = await client.complete(messages=[UserMessage("hello")], tools=[flight_info], tool_choice=choice)
            print([call.function.name for call in forced.choices[0].message.tool_calls or []])


if __name__ == "__main__":
    asyncio.run(main())
