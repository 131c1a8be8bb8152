"""JSON, with and without a schema, and what the client itself was told once for all."""

import asyncio
import json
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import JsonSchemaFormat, SystemMessage, UserMessage
from azure.core.credentials import AzureKeyCredential

schema: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "minutes": {"type": "integer", "minimum": 5}},
    "required": ["title", "minutes"],
    "additionalProperties": False,
}


async def main() -> None:
    client = ChatCompletionsClient(
        endpoint=os.environ["AZURE_AI_CHAT_ENDPOINT"],
        credential=AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]),
        model="m",
        temperature=0.1,
        max_tokens=200,
        response_format=JsonSchemaFormat(name="recipe", schema=schema, description="A recipe", strict=True),
    )
    async with client:
        recipe = await client.complete(messages=[SystemMessage("Answer in JSON."), UserMessage("How is bread made?")])
        print(json.loads(recipe.choices[0].message.content))
        any_json = await client.complete(messages=[UserMessage("JSON, please")], response_format="json_object")
        print(json.loads(any_json.choices[0].message.content))
        cut = await client.complete(
            messages=[UserMessage("one two three four five six")], response_format="text", max_tokens=2
        )
        print(cut.choices[0].message.content, cut.choices[0].finish_reason)
        try:
            unknown: Any = "yaml"
            await client.complete(messages=[UserMessage("hi")], response_format=unknown)
        except ValueError as error:
            print(isinstance(error, ValueError))


if __name__ == "__main__":
    asyncio.run(main())
