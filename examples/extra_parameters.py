"""Parameters outside the specification: refused unless the call says what shall become of them."""

import asyncio

from inference_async import BadRequestError
from inference_async.local import connect


async def main() -> None:
    """Send a parameter that `/models` does not know, in the three ways it can be sent."""
    question = "How many languages are in the world?"
    async with connect(model="mistral-large-2407") as client:
        # logprobs is no parameter of this API; passed through, it reaches the model, which knows it.
        completion = await client.complete(question, extra={"logprobs": True})
        logprobs = completion.choices[0].logprobs
        print("passed through:", len(logprobs.content or []) if logprobs else 0, "log probabilities")

        completion = await client.complete(question, extra={"logprobs": True}, extra_mode="drop")
        print("dropped: logprobs is", completion.choices[0].logprobs)

        try:
            await client.complete(question, extra={"logprobs": True}, extra_mode="error")
        except BadRequestError as error:
            print("refused:", error.detail)


if __name__ == "__main__":
    asyncio.run(main())
