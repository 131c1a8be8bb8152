"""What goes wrong, and how it is told."""

import asyncio
import os
from typing import Any

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)


def tell(error: HttpResponseError) -> None:
    print(type(error).__name__, error.status_code, error.reason)
    print(error.message)
    print(str(error) == error.message, error.error and (error.error.code, error.error.message))
    response: Any = error.response
    print(response.status_code, response.reason, response.headers["Content-Type"], response.text(), response.json())


async def main() -> None:
    endpoint = os.environ["AZURE_AI_CHAT_ENDPOINT"]
    key = AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"])
    async with ChatCompletionsClient(endpoint, AzureKeyCredential("wrong"), model="m") as client:
        try:
            await client.complete(messages=[UserMessage("hi")])
        except ClientAuthenticationError as error:
            tell(error)
    async with ChatCompletionsClient(endpoint, key) as client:
        try:
            await client.complete(messages=[UserMessage("hi")], model="no-such-model")
        except ResourceNotFoundError as error:
            tell(error)
        try:
            await client.complete(messages=[UserMessage("hi")])  # no model is named
        except HttpResponseError as error:
            tell(error)
        for stream in (False, True):
            try:
                await client.complete(messages=[UserMessage("[content-filter]")], model="m", stream=stream)
            except HttpResponseError as error:
                print(error.status_code, error.error and error.error.code, error.error and error.error.innererror)
        try:
            await client.get_model_info()
        except HttpResponseError as error:
            print(type(error).__name__, error.status_code)
    try:
        await client.complete(messages=[UserMessage("hi")], model="m")
    except ValueError as error:
        print("closed:", isinstance(error, AzureError))
    async with ChatCompletionsClient(os.environ["NOWHERE"], key, model="m", retry_total=0) as client:
        try:
            await client.complete(messages=[UserMessage("hi")])
        except ServiceRequestError as error:
            print(type(error).__name__, isinstance(error, HttpResponseError))


if __name__ == "__main__":
    asyncio.run(main())
