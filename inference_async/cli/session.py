"""A session of `inference-async chat`: prompts are read from the terminal, answered, and remembered.

Ctrl-C cancels the answer under way, and the connection is cut. What had come of it stays in the history, so that the
model can be asked to go on; where nothing had come, the question is taken back, as if it had not been asked. An answer
that fails is treated alike. `/retry` asks the last question again in either case.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import ConfigurationError, InferenceError
from ..net.together import until_done
from ..types import ImagePart, Message, Usage
from .asked import Asked, Asker, question_of
from .conversations import Conversation, load, role_of, save
from .words import OF_CHAT, on_the_command_line

if TYPE_CHECKING:
    from .prompt import Reader

__all__ = ["COMMANDS", "Session", "session"]

_TERMINATED: Final = 143  # 128 + SIGTERM, as shells count
_COMMAND: Final = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)


class Command(NamedTuple):
    """What a line that begins with a slash does."""

    argument: str
    about: str


COMMANDS: Final = {
    "help": Command("", "list the commands"),
    "system": Command("TEXT", "set the system instructions; - removes them, no TEXT shows them"),
    "model": Command("NAME", "switch to another deployment"),
    "image": Command("FILE", "send an image with the next prompt"),
    "save": Command("FILE", "write the conversation to a file, now and after each answer"),
    "load": Command("FILE", "continue a saved conversation"),
    "usage": Command("", "show the tokens used so far"),
    "retry": Command("", "drop the last answer and ask again"),
    "clear": Command("", "forget the conversation, but keep the instructions"),
    "quit": Command("", "end the session, like Ctrl-D"),
}
_KEYS: Final = (
    "Enter sends; Alt-Enter, or a backslash at the end of the line, starts a new line. Ctrl-C cancels an answer or "
    "clears the prompt. To send a prompt that begins with a slash, put a space before it."
)


async def session(asker: Asker, conversation: Conversation, *, images: Sequence[ImagePart], asked: Asked) -> int:
    """Read prompts from the terminal and answer them, until Ctrl-D or `/quit`. Return 0, or 143 on SIGTERM.

    Raises:
        ConfigurationError: prompt_toolkit is not installed.
        OSError: an answer cannot be written.
    """
    try:
        from .prompt import terminal_reader
    except ModuleNotFoundError as error:
        if error.name != "prompt_toolkit":
            raise
        raise ConfigurationError(
            "a session needs prompt_toolkit, an answer to one prompt does not; install it with: "
            "pip install 'inference-async[cli]'"
        ) from None
    read = await asyncio.to_thread(terminal_reader, COMMANDS, history=asked.history, note=asker.note)
    running = Session(asker, conversation, read, images=images, usage=asked.usage, file=asked.save)
    with _ended_by_sigterm() as told:
        try:
            await running.run()
        except asyncio.CancelledError:
            if not told.is_set():
                raise
            return _TERMINATED
    return 0


class Session:
    """A conversation with somebody who types.

    Args:
        asker: makes the turns.
        conversation: where it begins.
        read: reads the next prompt.
        images: what goes with the first prompt.
        usage: say after each answer what it cost.
        file: where the conversation is saved after each answer.

    Attributes:
        conversation: as far as it came.
    """

    def __init__(
        self,
        asker: Asker,
        conversation: Conversation,
        read: Reader,
        *,
        images: Sequence[ImagePart] = (),
        usage: bool = False,
        file: Path | None = None,
    ) -> None:
        self.conversation = conversation
        self._asker = asker
        self._note = asker.note
        self._read = read
        self._images = list(images)
        self._usage = usage
        self._file = file
        self._taken_back: Message | None = None  # the last question, where nothing came of it
        self._answering: asyncio.Task[None] | None = None
        self._actions: dict[str, Callable[[str], Awaitable[None]]] = {
            name: getattr(self, f"_do_{name}") for name in COMMANDS if name != "quit"
        }

    async def run(self) -> None:
        """Read and answer until there is no more to read.

        Raises:
            OSError: an answer cannot be written.
        """
        host = urlsplit(self._asker.client.endpoint.base).netloc
        begun = f" after {_count(self.conversation.messages)}" if self.conversation.messages else ""
        self._note(f"{self.conversation.model or 'the model'} at {host}{begun}; /help lists the commands, Ctrl-D ends")
        while True:
            try:
                line = await self._read()
            except EOFError:
                return
            if line.strip() == "/quit":
                return
            try:
                with self._interruptible():
                    await self._take(line)
            except InferenceError as error:
                self._tell(error)
            self._note("")

    def interrupt(self) -> None:
        """Cancel the answer under way, if there is one."""
        if self._answering is not None:
            self._answering.cancel()

    async def _take(self, line: str) -> None:
        command = _COMMAND.fullmatch(line.rstrip())
        if command is None:
            if line.strip():
                await self._ask(question_of(line.strip(), self._images))
            return
        action = self._actions.get(command[1])
        if action is None:
            raise ConfigurationError(f"there is no command /{command[1]}; /help lists them")
        await action((command[2] or "").strip())

    async def _ask(self, question: Message) -> None:
        conversation = self.conversation
        before = conversation.messages
        conversation.messages = [*before, question]
        turn = self._asker.turn(conversation)
        self._answering = answering = asyncio.create_task(turn.run())
        try:
            await asyncio.wait({answering})
        except asyncio.CancelledError:  # the session ends
            answering.cancel()
            await until_done(answering)
            raise
        finally:
            self._answering = None
        self._images.clear()
        is_answered = turn.is_answered
        conversation.messages = turn.messages if is_answered else before
        conversation.add_usage(turn.usage)
        self._taken_back = None if is_answered else question
        fate = f"{'what came is kept' if is_answered else 'the question is taken back'}; /retry asks again"
        error = None if answering.cancelled() else answering.exception()
        if answering.cancelled():
            self._note(f"cut, {fate}", "yellow")
        elif isinstance(error, InferenceError):
            self._tell(error)
            self._note(fate)
        elif error is not None:
            raise error
        else:
            turn.report(in_full=self._usage, brief=False)
        if is_answered and self._file is not None:
            await save(conversation, self._file)

    def _tell(self, error: InferenceError) -> None:
        self._note(f"error: {on_the_command_line(str(error), OF_CHAT)}", "red")

    @contextlib.contextmanager
    def _interruptible(self) -> Generator[None, None, None]:
        """While an answer is under way, Ctrl-C cancels it, and what is typed is not shown in the midst of it."""
        loop = asyncio.get_running_loop()

        def told(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.interrupt)

        before = signal.signal(signal.SIGINT, told)
        try:
            with _without_echo():
                yield
        finally:
            signal.signal(signal.SIGINT, before)

    async def _do_help(self, _: str) -> None:
        width = max(len(name) + len(command.argument) for name, command in COMMANDS.items()) + 2
        for name, command in COMMANDS.items():
            self._note(f"/{f'{name} {command.argument}':{width}} {command.about}", "none")
        self._note(_KEYS)

    async def _do_system(self, text: str) -> None:
        if text:
            self.conversation.instruct(None if text == "-" else text)
        self._note(f"instructions: {self.conversation.system or 'none'}")

    async def _do_model(self, name: str) -> None:
        self.conversation.model = name or self.conversation.model
        self._note(f"model: {self.conversation.model or 'none is named'}")

    async def _do_image(self, name: str) -> None:
        self._images.append(await ImagePart.load(_path(name)))
        self._note(f"{len(self._images)} image{'s' if len(self._images) > 1 else ''} with the next prompt")

    async def _do_save(self, name: str) -> None:
        file = _path(name) if name or self._file is None else self._file
        await save(self.conversation, file)
        self._file = file
        self._note(f"saved to {file}, and again after each answer")

    async def _do_load(self, name: str) -> None:
        loaded = await load(_path(name))
        loaded.model = loaded.model or self.conversation.model
        self.conversation, self._taken_back = loaded, None
        self._note(f"{_count(loaded.messages)}, model {loaded.model or 'unnamed'}")

    async def _do_usage(self, _: str) -> None:
        usage = self.conversation.usage or Usage()
        tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens} tokens"
        self._note(f"{_count(self.conversation.messages)}, {tokens}")

    async def _do_retry(self, _: str) -> None:
        messages = self.conversation.messages
        if self._taken_back is None:
            asked = [index for index, message in enumerate(messages) if role_of(message) == "user"]
            if not asked:
                raise ConfigurationError("nothing has been asked yet")
            self.conversation.messages, self._taken_back = messages[: asked[-1]], messages[asked[-1]]
        await self._ask(self._taken_back)

    async def _do_clear(self, _: str) -> None:
        kept = self.conversation.messages[:1] if self.conversation.system is not None else []
        self.conversation.messages, self._taken_back = kept, None
        self._images.clear()
        self._note("the conversation is forgotten")


def _path(name: str) -> Path:
    if not name:
        raise ConfigurationError("got no file, expected its name after the command")
    return Path(name).expanduser()


def _count(messages: Sequence[Message]) -> str:
    return f"{len(messages)} message{'' if len(messages) == 1 else 's'}"


@contextlib.contextmanager
def _ended_by_sigterm() -> Generator[asyncio.Event, None, None]:
    """SIGTERM cancels this task, so that the terminal is left as it was found; the event says that it did."""
    told, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        told.set()
        if task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, end)
    except (NotImplementedError, ValueError):  # Windows, or another thread than the main one
        yield told
        return
    try:
        yield told
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def _without_echo() -> Generator[None, None, None]:
    """The terminal on stdin shows no keys meanwhile; they are there for the next prompt."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (OSError, ValueError, AttributeError, termios.error):  # no terminal
        yield
        return
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(number, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)
