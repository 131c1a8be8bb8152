"""Content safety: a refused prompt is an error with categories, a filtered answer is a completion that says so."""

import asyncio

from inference_async import ContentFilterError
from inference_async.local import connect


async def main() -> None:
    """Be refused, twice."""
    async with connect(model="mistral-large-2407") as client:
        try:
            await client.complete("[content-filter] a sentence that the content safety classifier refuses")
        except ContentFilterError as error:
            hits = [name for name, result in error.categories.items() if result.get("filtered")]
            print("the prompt was refused for:", ", ".join(hits))

        async with client.stream("[answer-filter] a prompt whose answer is cut") as stream:
            async for text in stream.text():
                print(text, end="", flush=True)
        print()
        print("finish reason:", stream.completion.finish_reason)


if __name__ == "__main__":
    asyncio.run(main())
