"""A call that comes in pieces, put together by hand."""

import asyncio
import os

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import (
    AssistantMessage,
    ChatCompletionsToolCall,
    ChatCompletionsToolDefinition,
    ChatRequestMessage,
    FunctionCall,
    FunctionDefinition,
    ToolMessage,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential

flight_info = ChatCompletionsToolDefinition(function=FunctionDefinition(name="get_flight_info"))


async def main() -> None:
    async with ChatCompletionsClient(
        os.environ["AZURE_AI_CHAT_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]), model="m"
    ) as client:
        messages: list[ChatRequestMessage] = [UserMessage("What is the next flight from Miami to Seattle?")]
        response = await client.complete(messages=messages, tools=[flight_info], stream=True)
        call_id = name = arguments = ""
        async for update in response:
            delta = update.choices[0].delta
            if delta.tool_calls is not None:
                if delta.tool_calls[0].function.name is not None:
                    name = delta.tool_calls[0].function.name
                if delta.tool_calls[0].id is not None:
                    call_id = delta.tool_calls[0].id
                arguments += delta.tool_calls[0].function.arguments or ""
                print(delta.tool_calls[0].get("index"), end=" ")
        print(call_id, name, arguments)
        call = ChatCompletionsToolCall(id=call_id, function=FunctionCall(name=name, arguments=arguments))
        messages += [AssistantMessage(tool_calls=[call]), ToolMessage("none today", tool_call_id=call_id)]
        response = await client.complete(messages=messages, tools=[flight_info], stream=True)
        async for update in response:
            print(update.choices[0].delta.content or "", end="")


if __name__ == "__main__":
    asyncio.run(main())
