"""An image and a sound, from files and by address."""

import asyncio
import os

from azure.ai.inference.aio import ChatCompletionsClient
from azure.ai.inference.models import (
    AudioContentFormat,
    AudioContentItem,
    ImageContentItem,
    ImageDetailLevel,
    ImageUrl,
    InputAudio,
    TextContentItem,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential


async def main() -> None:
    picture = ImageUrl.load(image_file=os.environ["PICTURE"], image_format="png", detail=ImageDetailLevel.HIGH)
    print(picture.url[:30], picture.detail, picture["detail"])
    sound = InputAudio.load(audio_file=os.environ["SOUND"], audio_format=AudioContentFormat.WAV)
    print(sound.data[:8], sound.format, sound["format"])
    try:
        ImageUrl.load(image_file="there-is-no-such-file.png", image_format="png")
    except FileNotFoundError as error:
        print(type(error).__name__)
    async with ChatCompletionsClient(
        os.environ["AZURE_AI_CHAT_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_AI_CHAT_KEY"]), model="m"
    ) as client:
        for parts in (
            [TextContentItem(text="What is in this picture?"), ImageContentItem(image_url=picture)],
            [TextContentItem(text="And here?"), ImageContentItem(image_url=ImageUrl(url="https://example.org/a.png"))],
            [TextContentItem(text="Who speaks?"), AudioContentItem(input_audio=sound)],
        ):
            response = await client.complete(messages=[UserMessage(content=parts)])
            print(response.choices[0].message.content, [part.type for part in parts])


if __name__ == "__main__":
    asyncio.run(main())
