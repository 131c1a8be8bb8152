"""Parameters outside the specification: passed through, refused, and defaults of the client."""

import asyncio
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError


async def main() -> None:
    client = ChatCompletionsClient(
        endpoint=os.environ["AZURE_AI_CHAT_ENDPOINT"],
        credential=AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]),
        model="m",
        model_extras={"n": 2},
        headers={"x-ms-useragent": "a-program"},
    )
    async with client:
        response = await client.complete(messages=[UserMessage("hi there")])
        print([choice.message.content for choice in response.choices])
        response = await client.complete(messages=[UserMessage("hi there")], model_extras={"logprobs": True})
        print(len(response.choices), [row["token"] for row in response.choices[0]["logprobs"]["content"]])
        body = {"model": "m", "messages": [{"role": "user", "content": "hi there"}], "n": 2}
        try:
            await client.complete(body)
        except HttpResponseError as error:
            print(error.status_code, error.message)
        dropped: Any = await client.complete(body, headers={"extra-parameters": "drop"})
        print(len(dropped.choices))


if __name__ == "__main__":
    asyncio.run(main())
