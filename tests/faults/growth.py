"""`python -m tests.faults.growth MIB`: calls, one after another, and how much the memory of this process has grown.

Reads lines of `fault kind url` from its input, and writes for each the name of what came of it and the growth of the
peak, in MiB, since the first line, which is there to warm up. A process of its own, for a peak never falls.
"""

from __future__ import annotations

import asyncio
import resource
import sys

from inference_async import InferenceClient, InferenceError, Limits, Timeouts

MIB = 1024 * 1024


def peak() -> float:
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


async def call(kind: str, url: str, mib: int) -> str:
    limits = Limits(max_event_bytes=mib * MIB, max_body_bytes=mib * MIB)
    timeouts = Timeouts(first_token=0.5, between_tokens=20, total=0.5 if kind == "timed" else 20)
    async with InferenceClient(url, "key", model="any", limits=limits, timeouts=timeouts, retries=0) as client:
        try:
            if kind == "stream":
                async with client.stream("hi") as stream:
                    async for _ in stream:
                        pass
            else:
                await client.complete("hi")
        except InferenceError as error:
            return type(error).__name__
    return "answer"


async def main(mib: int) -> None:
    base = 0.0
    for line in sys.stdin.read().splitlines():
        name, kind, url = line.split()
        said = await call(kind, url, mib)
        base = base or peak()
        print(name, kind, said, round(peak() - base, 1), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
