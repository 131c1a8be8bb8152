"""Vectors of texts and of images."""

import asyncio
import os

from azure.ai.inference.aio import EmbeddingsClient, ImageEmbeddingsClient
from azure.ai.inference.models import EmbeddingEncodingFormat, EmbeddingInputType, ImageEmbeddingInput
from azure.core.credentials import AzureKeyCredential


async def main() -> None:
    endpoint = os.environ["AZURE_AI_EMBEDDINGS_ENDPOINT"]
    key = AzureKeyCredential(os.environ["AZURE_AI_EMBEDDINGS_KEY"])
    async with EmbeddingsClient(endpoint, key, model="m", dimensions=4) as client:
        response = await client.embed(input=["first phrase", "second phrase", "third phrase"])
        for item in response.data:
            print(item.index, len(item.embedding), item.embedding[0], item["embedding"][-1])
        print(response.usage, response.usage.prompt_tokens, response.usage.total_tokens, response.model)
        packed = await client.embed(
            input=["first phrase"],
            encoding_format=EmbeddingEncodingFormat.BASE64,
            input_type=EmbeddingInputType.QUERY,
            dimensions=2,
        )
        print(packed.data[0].embedding, packed["data"][0]["object"])
        small = await client.embed(input=["first phrase"], encoding_format="int8")
        print(small.data[0].embedding)
    async with ImageEmbeddingsClient(endpoint=endpoint, credential=key, model="m") as images:
        seen = await images.embed(
            input=[
                ImageEmbeddingInput.load(image_file=os.environ["PICTURE"], image_format="png"),
                ImageEmbeddingInput.load(image_file=os.environ["PICTURE"], image_format="png", text="a dot"),
            ],
            dimensions=3,
        )
        print([item.embedding for item in seen.data], seen.usage["prompt_patches"])


if __name__ == "__main__":
    asyncio.run(main())
