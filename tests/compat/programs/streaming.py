"""A streamed answer, read to its end, left early, and closed by hand."""

import asyncio
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import SystemMessage, UserMessage
from azure.core.credentials import AzureKeyCredential


async def main() -> None:
    async with ChatCompletionsClient(
        os.environ["AZURE_AI_CHAT_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]), model="m"
    ) as client:
        messages = [SystemMessage("You are helpful."), UserMessage("How many languages are in the world?")]
        response = await client.complete(stream=True, messages=messages)
        usage = None
        async for update in response:
            if update.choices and update.choices[0].delta:
                print(update.choices[0].delta.content or "", end="|")
                if update.choices[0].finish_reason:
                    print("\nreason:", update.choices[0].finish_reason, update["choices"][0]["finish_reason"])
            if update.usage:
                usage = update.usage
        print("usage:", usage)

        response = await client.complete(stream=True, messages=messages)
        text = ""
        async for update in response:
            assert update.choices[0].delta.content is not None
            text += update.choices[0].delta.content
        print("whole:", text[-20:], update.id != "", update.model, update.created.year > 2024)

        stream: Any = await client.complete(stream=True, messages=messages)
        async with stream:
            async for update in stream:
                print("first:", update.choices[0].index, update.choices[0].delta.role, update.choices[0]["delta"])
                break

        stream = await client.complete(stream=True, messages=messages)
        await stream.__aiter__().__anext__()
        await stream.aclose()
        print("closed")


if __name__ == "__main__":
    asyncio.run(main())
