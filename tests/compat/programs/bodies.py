"""Whole requests, as a dict and as bytes, and messages as dicts."""

import asyncio
import io
import json
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient, EmbeddingsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential

body: dict[str, Any] = {
    "model": "any",
    "messages": [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": [{"type": "text", "text": "How far is the moon?"}]},
    ],
    "max_tokens": 100,
}


async def main() -> None:
    key = AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"])
    async with ChatCompletionsClient(os.environ["AZURE_AI_CHAT_ENDPOINT"], key) as client:
        response: Any = await client.complete(body)
        print(response.choices[0].message.content, response.model)
        response = await client.complete(io.BytesIO(json.dumps(body).encode()), content_type="application/json")
        print(response.choices[0].message.content)
        response = await client.complete({**body, "stream": True})
        async for update in response:
            print(update.choices[0].delta.content or "", end="|")
        messages: Any = [UserMessage("one"), {"role": "assistant", "content": "two"}, {"role": "user", "content": "3"}]
        response = await client.complete(messages=messages, model="other")
        print(response.choices[0].message.content, response.model)
        try:
            nothing: dict[str, Any] = {}
            await client.complete(**nothing)
        except TypeError as error:
            print(error)
    async with EmbeddingsClient(os.environ["AZURE_AI_CHAT_ENDPOINT"], key) as embeddings:
        vectors = await embeddings.embed({"model": "any", "input": ["a", "b"], "dimensions": 4})
        print(len(vectors.data), len(vectors.data[0].embedding))


if __name__ == "__main__":
    asyncio.run(main())
