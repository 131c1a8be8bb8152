r"""Server-sent events: bytes in any slicing in, whole events out; and an encoder beside it.

The rules are the WHATWG's (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
The decoder knows nothing of chat, JSON, or `[DONE]`, and it does not judge how a stream ends: `close` hands out the
block that was left unfinished, and the layer above decides whether to believe it.

How it stays linear. Bytes that end no line are appended to one buffer and not looked at again until a line end comes;
a line is joined once, and split off once. So an event costs its length, whether it came whole or byte by byte.

How it stays cheap. Model servers send almost nothing but ``data: {...}\n\n``. A read made only of such blocks is cut
at their borders by one `bytes.split`, which is correct exactly when no piece of it holds a line end: that is looked
for, not assumed. All else (comments, other fields, several data lines, CR) takes the line-by-line path.

Data stays bytes: a line end is never part of a multi-byte character, so cutting before decoding is safe, and
replacing invalid UTF-8 line by line gives what replacing it in the whole stream would.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import EventTooLargeError

__all__ = [
    "DEFAULT_MAX_EVENT_BYTES",
    "EventDecoder",
    "ServerSentEvent",
    "encode_comment",
    "encode_event",
]

DEFAULT_MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A  # as numbers, for which bytes are searched ten times faster than for bytes of that length
_CR: Final = 0x0D
_RETRY_DIGITS: Final = 18  # more milliseconds than anyone waits; and it keeps int() away from a flood of digits


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        data: the data lines joined by LF, as sent; invalid UTF-8 is still in it.
        event: the event's name, ``message`` where the server gave none.
        id: the last event id in force when the event was dispatched.
    """

    data: bytes
    event: str = "message"
    id: str = ""

    @property
    def text(self) -> str:
        """The data as text, invalid UTF-8 replaced by U+FFFD."""
        return self.data.decode("utf-8", "replace")


class EventDecoder:
    """Decodes one stream. Feed it what arrives, in any slicing; close it when the stream ends.

    Attributes:
        last_event_id: the last ``id`` whose block has ended.
        retry: the last valid ``retry`` seen, in milliseconds.
        whole: after an `EventTooLargeError`, the events before it.
    """

    __slots__ = (
        "_data",
        "_event",
        "_failed",
        "_fresh",
        "_id",
        "_line",
        "_max",
        "_skip_lf",
        "_started",
        "last_event_id",
        "retry",
        "whole",
    )

    def __init__(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self.whole: list[ServerSentEvent] = []
        self._max = max_event_bytes
        self._line = bytearray()  # the line that has not ended yet
        self._data: bytes | bytearray | None = None  # the data lines, joined, of the block that has not ended yet
        self._event = ""
        self._id = ""  # takes effect at the end of the block it stands in
        self._skip_lf = False  # the last feed ended in CR: an LF at the start of the next belongs to it
        self._started = False  # past the place where a byte order mark may stand
        self._failed = False
        self._fresh = False  # nothing is left over from what was fed before, and no byte order mark may come

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; return the events they complete, in order.

        Raises:
            EventTooLargeError: a line or an event is over the bound. The decoder is then of no further use; `whole`
                holds the events that were complete before it in the same bytes.
        """
        if self._fresh and data.startswith(b"data: ") and data.endswith(b"\n\n") and _CR not in data:
            block = data[6:-2]
            if _LF not in block and len(data) <= self._max:  # one event, as a slow model sends them
                return [ServerSentEvent(block, "message", self.last_event_id)]
        return self._feed_anything(data)

    def _feed_anything(self, data: bytes) -> list[ServerSentEvent]:
        if self._failed:
            raise self._too_large()
        self._fresh = False
        if not self._started:
            data = self._skip_bom(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == _LF:
                data = data[1:]
        if _LF not in data and _CR not in data:
            self._line += data
            if len(self._line) > self._max:
                raise self._too_large()
            return []
        if self._line:
            data = b"".join((self._line, data))  # in one copy, which of a large event is felt
            self._line.clear()
        events: list[ServerSentEvent] = []
        if data.startswith(b"data: ") and self._at_block_start() and _CR not in data:
            data = self._split_plain(data, events)
        if data:
            self._read_lines(data, events)
        self._fresh = not self._line and not self._skip_lf and self._at_block_start()
        return events

    def close(self) -> ServerSentEvent | None:
        """The stream has ended: return the unfinished block's event, if it has data.

        The standard discards it. Chat servers forget the last blank line often enough that the caller should look.
        """
        line = bytes(self._line)
        self._line.clear()
        if line.startswith((b"data", b"event")):  # a cut id or retry would be taken for another one
            self._read_field(line)
        if self._data is None:
            return None
        if max(len(line), len(self._data)) > self._max:
            raise self._too_large()
        return self._take()

    def _at_block_start(self) -> bool:
        return self._data is None and not self._event and self._id == self.last_event_id

    def _skip_bom(self, data: bytes) -> bytes:
        head = bytes(self._line) + data[:3]
        if len(head) < 3 and _BOM.startswith(head):
            self._line += data
            return b""
        self._started = True
        if not head.startswith(_BOM):
            return data
        data = data[3 - len(self._line) :]
        self._line.clear()
        return data

    def _split_plain(self, data: bytes, events: list[ServerSentEvent]) -> bytes:
        """Cut blocks that are one plain data line each; return what is left, all of it if the read is not plain."""
        end = data.rfind(b"\n\n")
        if end < 0:
            return data
        block = data[6:end]
        if _LF not in block:  # one event: the usual read, and the one whose size is felt
            pieces = [block]
        else:
            pieces = block.split(b"\n\ndata: ")
            if _LF in b"".join(pieces):
                return data
        if len(data) > self._max and max(map(len, pieces)) + 6 > self._max:
            return data
        last_id = self.last_event_id
        if last_id:
            events.extend([ServerSentEvent(piece, "message", last_id) for piece in pieces])
        else:
            events.extend([ServerSentEvent(piece) for piece in pieces])
        return data[end + 2 :]

    def _read_lines(self, data: bytes, events: list[ServerSentEvent]) -> None:
        lines = data.splitlines(keepends=True)  # of bytes: at LF, CR and CRLF, and nowhere else
        last = lines[-1]
        if last.endswith(b"\r"):
            self._skip_lf = True
        elif not last.endswith(b"\n"):
            self._line += lines.pop()
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            if len(line) > self._max:
                raise self._too_large(events)
            if line:
                self._read_field(line)
                if self._data is not None and len(self._data) > self._max:
                    raise self._too_large(events)
                continue
            self.last_event_id = self._id
            if self._data is not None:
                events.append(self._take())
            else:
                self._event = ""  # a block without data is no event; its name is forgotten
        if len(self._line) > self._max:
            raise self._too_large(events)

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            if self._data is None:
                self._data = value
                return
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += b"\n"
            self._data += value
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value.lstrip(b"0")) <= _RETRY_DIGITS:
            self.retry = int(value.lstrip(b"0") or b"0")
        # A comment has an empty name; the standard ignores it like any unknown field.

    def _take(self) -> ServerSentEvent:
        event = ServerSentEvent(bytes(self._data or b""), self._event or "message", self._id)
        self._data = None
        self._event = ""
        return event

    def _too_large(self, events: list[ServerSentEvent] | None = None) -> EventTooLargeError:
        self._failed = True
        self._line.clear()
        self._data = None
        self.whole = events or []
        return EventTooLargeError(
            f"the stream holds an event or a line over {self._max:,} bytes; raise max_event_bytes if it is meant to"
        )


def encode_event(
    data: str | bytes,
    *,
    event: str | None = None,
    id: str | None = None,  # noqa: A002  (the field's own name)
    retry: int | None = None,
) -> bytes:
    """One event, as it goes over the wire.

    Args:
        data: the payload; CRLF, CR and LF in it each begin a further data line.
        event: the event's name, one line.
        id: the event's id, one line without NUL.
        retry: milliseconds a client should wait before it connects again.

    Raises:
        ValueError: a name or id that would break out of its line, or a negative `retry`.
    """
    lines: list[bytes] = []
    if event is not None:
        lines.append(b"event: " + _one_line("event", event))
    if id is not None:
        if "\0" in id:
            raise ValueError("got an id with a NUL character, which every reader ignores")
        lines.append(b"id: " + _one_line("id", id))
    if retry is not None:
        if retry < 0:
            raise ValueError(f"got retry={retry}, expected milliseconds, 0 or more")
        lines.append(b"retry: %d" % retry)
    payload = data.encode() if isinstance(data, str) else data
    payload = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines.extend(b"data: " + line for line in payload.split(b"\n"))
    return b"\n".join(lines) + b"\n\n"


def encode_comment(text: str = "") -> bytes:
    """A comment, which readers ignore: a sign of life on a silent stream.

    Raises:
        ValueError: text of more than one line.
    """
    return b": " + _one_line("comment", text) + b"\n\n"


def _one_line(what: str, value: str) -> bytes:
    if "\n" in value or "\r" in value:
        raise ValueError(f"got a line break in the {what}, expected one line")
    return value.encode()
