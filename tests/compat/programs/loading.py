"""The client that fits the model of an endpoint."""

import asyncio
import os

from azure.ai.inference.aio import ChatCompletionsClient, load_client
from azure.ai.inference.models import ModelType, UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ResourceNotFoundError


async def main() -> None:
    key = AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"])
    client = await load_client(endpoint=os.environ["ONE_MODEL_ENDPOINT"], credential=key)
    print(type(client).__name__)
    if isinstance(client, ChatCompletionsClient):
        info = await client.get_model_info()
        print(info.model_name, info.model_type, info["model_type"], info.model_provider_name)
        print(info.model_type == ModelType.CHAT_COMPLETION)
        response = await client.complete(messages=[UserMessage("hi there")])
        print(response.choices[0].message.content)
        await client.close()
    try:
        await load_client(endpoint=os.environ["AZURE_AI_CHAT_ENDPOINT"], credential=key)
    except ResourceNotFoundError as error:
        print(error.status_code)


if __name__ == "__main__":
    asyncio.run(main())
