"""Embeddings: which of some sentences is nearest to a question."""

import asyncio

from inference_async.local import connect

SENTENCES = [
    "The train to Oslo leaves at nine.",
    "Bread is made of flour, water and salt.",
    "A train leaves for Bergen every hour.",
]


async def main() -> None:
    """Embed the sentences and the question together, and compare."""
    async with connect(model="text-embedding-3-small") as client:
        result = await client.embed([*SENTENCES, "When does the train to Oslo leave?"], encoding_format="base64")
    *sentences, question = result.vectors
    nearness = [sum(a * b for a, b in zip(vector, question, strict=True)) for vector in sentences]
    print("nearest:", SENTENCES[nearness.index(max(nearness))])
    print("numbers in a vector:", len(question), "tokens:", result.usage.prompt_tokens if result.usage else "not told")


if __name__ == "__main__":
    asyncio.run(main())
