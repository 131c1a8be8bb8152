"""A whole answer, read by attribute and by key."""

import asyncio
import os

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import ChatRole, CompletionsFinishReason, DeveloperMessage, SystemMessage, UserMessage
from azure.core.credentials import AzureKeyCredential


async def main() -> None:
    client = ChatCompletionsClient(
        endpoint=os.environ["AZURE_AI_CHAT_ENDPOINT"],
        credential=AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]),
    )
    response = await client.complete(
        messages=[
            SystemMessage("You are a helpful assistant."),
            DeveloperMessage(content="Be short."),
            UserMessage(content="How many languages are in the world?"),
        ],
        model="mistral-large-2407",
        temperature=0.2,
        top_p=0.9,
        max_tokens=2048,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        stop=["<|endoftext|>"],
        seed=42,
    )
    await client.close()

    choice = response.choices[0]
    print("text:", choice.message.content)
    print("model:", response.model, "index:", choice.index, "since 2024:", response.created.year > 2024)
    print("role:", choice.message.role, choice.message.role == ChatRole.ASSISTANT)
    print("reason:", choice.finish_reason, choice.finish_reason == CompletionsFinishReason.STOPPED)
    print("tokens:", response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens)
    print("by key:", response["choices"][0]["message"]["content"] == choice.message.content, response["object"])
    print("same:", response["choices"][0] is choice, "id" in response, len(response.id), type(response["created"]))
    print("as dict:", response.as_dict()["usage"], sorted(response.as_dict()))
    print("calls:", choice.message.tool_calls, response.get("nothing"))


if __name__ == "__main__":
    asyncio.run(main())
