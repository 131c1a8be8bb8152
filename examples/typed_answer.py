"""A typed answer: the type goes out as a strict JSON schema, and a value of it comes back."""

import asyncio
from typing import Annotated

import msgspec

from inference_async import ResponseTypeError
from inference_async.local import connect


class City(msgspec.Struct):
    """A city, as an atlas has it."""

    name: str
    people: Annotated[int, msgspec.Meta(description="inhabitants, rounded to thousands")]


async def main() -> None:
    """Ask for one city, then for several, and watch them arrive."""
    async with connect(model="mistral-large-2407") as client:
        try:
            completion = await client.complete("The largest city of Norway?", response_type=City, repair=1)
        except ResponseTypeError as error:
            print("no city:", error.reason, error)
            return
        city: City = completion.parsed
        print("one city:", city.name, city.people)

        async with client.stream("The largest cities of Norway?", response_type=list[City]) as stream:
            async for so_far in stream.partial():
                print("so far:", so_far)
        print("cities:", len(stream.parsed))


if __name__ == "__main__":
    asyncio.run(main())
