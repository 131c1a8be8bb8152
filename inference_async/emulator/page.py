"""The status page: a `Status` as HTML, which needs no script and loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

import msgspec

from .tally import Entry, Status

__all__ = ["HEADERS", "VIEWS", "page_of"]

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""What goes with the page: what callers say is shown on it, so nothing in it may run."""

_REFRESH: Final = 2  # seconds
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
:root { color-scheme: light dark }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1.5rem } dt { opacity: .7 } dd { margin: 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .15rem 1rem .15rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere }
td { font-variant-numeric: tabular-nums; vertical-align: top }
tr.bad td { color: #c33 }
"""


def page_of(status: Status) -> str:
    """The page; it loads itself anew every two seconds."""
    facts = [
        ("up for", _duration(status.uptime)),
        ("answers", status.answers),
        *(("limits", line) for line in status.limits),
        ("faults", ", then ".join(status.faults) or "none"),
        ("requests", f"{status.requests:,}, {status.open_requests:,} of them open"),
        ("open streams", f"{status.open_streams:,}"),
        ("refused with 429", f"{status.throttled:,}"),
        ("cut by the upstream", f"{status.cut:,}"),
        ("tokens", f"{status.tokens_in:,} in, {status.tokens_out:,} out"),
    ]
    counts = ([count.operation, _status(count.status), f"{count.requests:,}"] for count in status.counts)
    prompts = any(entry.prompt is not None for entry in status.last)
    columns = ["at", "operation", "model", "status", "seconds", "in", "out"] + (["prompt"] if prompts else [])
    last = "".join(_row(_cells(entry, prompts=prompts), bad=_is_bad(entry)) for entry in status.last)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_REFRESH}"><link rel="icon" href="data:,">'
        f"<title>({status.requests:,}) emulator</title><style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>inference-async {escape(status.version)}: emulator</h1>\n"
        f"<dl>{''.join(f'<dt>{name}</dt><dd>{escape(value)}</dd>' for name, value in facts)}</dl>\n"
        f"<h2>Answers</h2>\n{_table(['operation', 'status', 'requests'], ''.join(map(_row, counts)))}\n"
        f"<h2>Last requests</h2>\n{_table(columns, last)}\n"
        '<p>The same as JSON: <a href="/status.json">/status.json</a></p>\n'
        "</body></html>\n"
    )


def _cells(entry: Entry, *, prompts: bool) -> list[str]:
    tokens = [str(entry.tokens_in), str(entry.tokens_out)] if entry.tokens_in or entry.tokens_out else ["", ""]
    return [
        datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S UTC"),
        entry.operation + (", streamed" if entry.streamed else ""),
        entry.model,
        _status(entry.status) + {"done": "", "open": ", open", "cut": ", cut", "left": ", caller left"}[entry.ended],
        "" if entry.ended == "open" else f"{entry.seconds:.2f}",
        *tokens,
        *([entry.prompt or ""] if prompts else []),
    ]


def _is_bad(entry: Entry) -> bool:
    return entry.status >= 400 or entry.ended == "cut"


def _status(status: int) -> str:
    return str(status) if status else "no answer"


def _table(columns: Iterable[str], rows: str) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else "<p>none yet</p>"


def _row(cells: Iterable[str], *, bad: bool = False) -> str:
    return f"<tr{' class=bad' if bad else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"


VIEWS: Final[Mapping[str, tuple[str, Callable[[Status], bytes]]]] = {
    "/": ("text/html; charset=utf-8", lambda status: page_of(status).encode()),
    "/status.json": ("application/json", msgspec.json.encode),
}
"""Where a status is to be seen: the content type, and what makes the body."""
