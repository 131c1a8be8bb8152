"""A conversation of several turns."""

import asyncio
import os

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import AssistantMessage, ChatRequestMessage, SystemMessage, UserMessage
from azure.core.credentials import AzureKeyCredential


async def main() -> None:
    client = ChatCompletionsClient(
        os.environ["AZURE_AI_CHAT_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]), model="m"
    )
    async with client:
        messages: list[ChatRequestMessage] = [SystemMessage("You are helpful."), UserMessage("Tell me of Oslo.")]
        for question in ("And its people?", "And its trams?"):
            response = await client.complete(messages=messages)
            print(response.choices[0].message.content, response.usage["prompt_tokens"])
            messages.append(AssistantMessage(response.choices[0].message.content))
            messages.append(UserMessage(question))
        for message in messages:
            print(message["role"], message.role, message.get("content"), isinstance(message, ChatRequestMessage))


if __name__ == "__main__":
    asyncio.run(main())
