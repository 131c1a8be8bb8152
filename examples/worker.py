"""A worker that answers the questions in a folder, loses none, and ends in good order when it is told to.

Start it with `python examples/worker.py jobs`, and ask with `echo "What is a fjord?" > 1.txt && mv 1.txt jobs/new`. A
question is a file with a name of its own in `new`. The worker moves it to `taken`, asks the model, and leaves the
answer in `done` or the error in `failed`, under the same name.

At SIGTERM or Ctrl-C no question is taken any more, those under way get `GRACE` seconds, and what is not answered by
then goes back to `new`. What a worker that was killed left in `taken`, the next one takes up. So every question is
answered at least once; one worker at a time has the folder.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from inference_async import InferenceClient, InferenceError
from inference_async.local import connect

AT_ONCE = 8
GRACE = 20.0
LOOK = 0.2  # seconds between looks at an empty folder
RECOVER = 5.0  # seconds of rest for a model that is down, after the client has tried again by itself


class Jobs:
    """The folder. Each change is a rename: it happens or it does not, whatever becomes of the process."""

    def __init__(self, root: Path) -> None:
        self.new, self.taken, self.done, self.failed = (root / name for name in ("new", "taken", "done", "failed"))
        for folder in (self.new, self.taken, self.done, self.failed):
            folder.mkdir(parents=True, exist_ok=True)
        for job in self.taken.glob("*.txt"):
            self.put_back(job)

    def take(self) -> Path | None:
        """A question, which is this worker's from now on; None if there is none."""
        for job in self.new.glob("*.txt"):
            return job.rename(self.taken / job.name)
        return None

    def put_back(self, job: Path) -> None:
        """It is to be answered later."""
        job.rename(self.new / job.name)

    def finish(self, job: Path, text: str, folder: Path) -> None:
        """Leave what came of it, whole or not at all, and only then forget the question."""
        unfinished = job.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.rename(folder / job.name)
        job.unlink()


async def work(jobs: Jobs, client: InferenceClient, stopping: asyncio.Event) -> None:
    """Answer one question after the other until it is time to stop."""
    while not stopping.is_set():
        job = jobs.take()
        if job is None:
            await rest(LOOK, stopping)
            continue
        try:
            completion = await client.complete(job.read_text(errors="replace"), max_tokens=2048)
        except InferenceError as error:
            if error.retryable:
                jobs.put_back(job)
                await rest(RECOVER, stopping)
            else:
                jobs.finish(job, f"{type(error).__name__}: {error}\n", jobs.failed)
        except BaseException:  # cancelled: the time is up
            jobs.put_back(job)
            raise
        else:
            jobs.finish(job, f"{completion.text}\n", jobs.done)


async def rest(seconds: float, stopping: asyncio.Event) -> None:
    """Do nothing for so long, or until it is time to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def main(folder: Path) -> None:
    """Work until a signal comes, then bring to an end what is under way."""
    jobs = Jobs(folder)
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    async with connect(model="mistral-large-2407") as client, asyncio.TaskGroup() as group:
        workers = [group.create_task(work(jobs, client, stopping)) for _ in range(AT_ONCE)]
        await stopping.wait()
        _, late = await asyncio.wait(workers, timeout=GRACE)
        for worker in late:
            worker.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "jobs")))
