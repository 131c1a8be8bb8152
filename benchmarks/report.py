"""What was found, as JSON, as Markdown tables, as a chart, and filled into the pages that quote it."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from .clients import BARE, CLIENTS, FLOOR, OURS
from .goals import Results, verdicts
from .pure import SHAPES, STAGES

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PACKAGES = (
    *("aiohttp", "msgspec", "anyio", "azure-ai-inference", "openai", "litellm", "httpx", "httpx2", "httpx-sse"),
    *("pydantic",),
)
CHARTED = ("chunk, paced", "chunk, coalesced", "stream of one chunk", "request")
ACCENT, PLAIN, FAINT = "#0b6bcb", "#c3cad3", "#8a94a0"


class Table(NamedTuple):
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [f"| {' | '.join(cells)} |" for cells in (self.head, *self.rows)]
        return "\n".join([lines[0], "|---" * len(self.head) + "|", *lines[1:]])


def machine() -> dict[str, Any]:
    """What the figures depend on; no name of a host, and no path."""
    packages: dict[str, str] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "packages": packages,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1] if found else platform.processor()


def middle(figures: Sequence[float], digits: int = 1) -> str:
    """The median, and the least and the most where they differ."""
    median, least, most = (f"{figure:,.{digits}f}" for figure in figures)
    return median if least == most else f"{median} ({least} to {most})"


def tables(results: Results) -> Iterator[Table]:
    """One for each part that was run."""
    if verdicts(results):
        yield goals_table(results)
    if counts := results.get("instructions"):
        yield Table(
            "Instructions, and times the floor", *_by_client(counts, lambda name, figure: _times(counts, name, figure))
        )
    if cpu := results.get("microseconds"):
        yield Table("Microseconds of CPU", *_by_client(cpu, lambda _, figure: middle(figure)))
    if crowd := results.get("crowd"):
        yield Table(
            "1,000 streams of 100 chunks in 10 seconds",
            *_by_client(_streams_per_core(crowd), lambda _, figure: middle(figure)),
        )
    if memory := results.get("memory"):
        yield Table(
            "KiB of an open, idle stream, by their number", *_by_client(memory, lambda _, figure: middle(figure))
        )
    single = results.get("pure", {}).get("instructions", {}).get("single, data only")
    if single and counts and "chunk, paced" in counts.get(OURS, {}) and BARE in counts:
        yield _where_table(counts, single)
    if scale := results.get("scale"):
        yield _scale_table(scale)
    if imports := results.get("imports"):
        yield Table(
            "Imports",
            ["import", "ms", "CPU ms", "modules", "instructions"],
            [
                [name, middle(one["ms"]), middle(one["CPU ms"]), str(one["modules"]), _count(one.get("instructions"))]
                for name, one in imports.items()
            ],
        )
    if pure := results.get("pure"):
        yield from _pure_tables(pure)


def goals_table(results: Results) -> Table:
    rows, last = [], ""
    for verdict in verdicts(results):
        rows.append(["" if verdict.goal.row == last else verdict.goal.row, verdict.goal.words, verdict.words])
        last = verdict.goal.row
    return Table("Goals", ["what", "goal", "measured"], rows)


def _times(counts: dict[str, dict[str, int]], name: str, figure: int) -> str:
    floor = counts.get(FLOOR)
    return f"{figure:,}" + (f" ({figure / floor[name]:.2f} x)" if floor else "")


def _by_client(found: dict[str, Any], cell: Callable[[str, Any], str]) -> tuple[list[str], list[list[str]]]:
    clients = [client for client in CLIENTS if client in found]
    columns = list(found[clients[0]])
    rows = [[client, *(cell(name, found[client][name]) for name in columns)] for client in clients]
    return ["client", *columns], rows


def _where_table(counts: dict[str, Any], single: float) -> Table:
    """A paced chunk taken apart: asyncio alone, the pure rooms alone, and what is left of the whole."""
    whole, bare = counts[OURS]["chunk, paced"], counts[BARE]["chunk, paced"]
    rows = [
        ["asyncio: `select`, `recv`, waking the task", f"{bare:,}"],
        ["bytes to an event, to a chunk, to what the final message is made of", f"{single:,.0f}"],
        ["aiohttp's parser and reader, the step of the iteration, the limits", f"{whole - bare - single:,.0f}"],
        ["all of it", f"{whole:,}"],
    ]
    return Table("Where a paced chunk goes", ["piece", "instructions"], rows)


def _scale_table(scale: dict[str, Any]) -> Table:
    """Of ours and of aiohttp alone, by the number of streams."""
    rows = []
    for streams, found in scale.items():
        ours, floor = found[OURS], found["aiohttp"]
        rows.append(
            [
                f"{int(streams):,}",
                f"{ours['whole']:,}",
                f"{max(ours['KiB']):.1f} ({max(floor['KiB']):.1f})",
                f"{ours['CPU ms']:.2f} ({floor['CPU ms']:.2f})",
                "{:.1f}, {:.1f}, {:.1f}".format(*ours["latency ms"]),
            ]
        )
    head = ["streams", "complete", "KiB a stream (aiohttp)", "CPU ms a stream (aiohttp)", "late ms: p50, p99, most"]
    return Table("Streams of 20 chunks in 15 seconds, by their number", head, rows)


def _per_core(cpu: list[float]) -> list[float]:
    """How many streams of 20 chunks a second a core could carry, from the CPU microseconds of a chunk."""
    middle, least, most = (1e6 / 20 / one for one in cpu)
    return [middle, most, least]


def _streams_per_core(found: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, Any]]:
    return {
        client: {**figures, "streams per core": _per_core(figures["CPU us per chunk"])}
        for client, figures in found.items()
    }


def _pure_tables(pure: dict[str, Any]) -> Iterator[Table]:
    if counts := pure.get("instructions"):
        rows = [[shape, *(f"{counts[f'{stage}, {shape}']:,.0f}" for stage in STAGES)] for shape in SHAPES]
        yield Table("Instructions per event, by the shape of the stream", ["shape", *STAGES], rows)
    if us := pure["us"]:
        rows = [[shape, *(middle(us[f"{stage}, {shape}"], 2) for stage in STAGES)] for shape in SHAPES]
        yield Table("Microseconds of CPU per event, by the shape of the stream", ["shape", *STAGES], rows)
        yield Table(
            "MB/s of events", ["what", "MB/s"], [[name, middle(figures, 0)] for name, figures in pure["MB/s"].items()]
        )
        others = [name for name in us if name.partition(", ")[0] not in {*STAGES, "dripped"}]
        yield Table(
            "Microseconds of CPU of whole answers, of a request, and per delta of a long answer",
            ["what", "us"],
            [[name, middle(us[name], 2)] for name in others],
        )
    if growth := pure.get("growth"):
        rows = [[name, f"{figure:.2f}"] for name, figure in growth.items()]
        yield Table("Instructions per piece of much, over those of little", ["what", "times"], rows)


def described(about: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return f"{about['processor']}, {about['cores']} cores; {about['system']}; {about['Python']}; {packages}."


def markdown(results: Results) -> str:
    parts = [f"# Results\n\n{described(results['machine'])}"]
    parts += [f"## {table.title}\n\n{table}" for table in tables(results)]
    return "\n\n".join(parts) + "\n"


def load() -> Results:
    path = FOLDER / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(results: Results) -> None:
    """Everything that is checked in: JSON, Markdown, the chart, and the figures on the page about performance."""
    FOLDER.mkdir(exist_ok=True)
    rounded = json.loads(json.dumps(results), parse_float=lambda text: float(f"{float(text):.4g}"))
    (FOLDER / "results.json").write_text(json.dumps(rounded, indent=2, ensure_ascii=False) + "\n")
    (FOLDER / "results.md").write_text(markdown(rounded))
    fill(PAGE, rounded)
    if "instructions" in rounded:
        chart(rounded["instructions"], FOLDER / "chart.svg")


def fill(page: Path, results: Results) -> None:
    """Put the tables between the comments that name them: ``<!-- Goals -->`` ... ``<!-- end -->``."""
    tables_by_title = {table.title: str(table) for table in tables(results)}
    page.write_text(filled(page.read_text(), tables_by_title | {"Machine": described(results["machine"])}))


def filled(text: str, found: dict[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        return f"{match[1]}{found.get(match[2], match[3])}\n<!-- end -->"

    return re.sub(r"(<!-- ([^>]+) -->\n)(.*?)\n?<!-- end -->", put, text, flags=re.DOTALL)


def chart(counts: dict[str, dict[str, int]], path: Path) -> None:
    """Instructions as bars, the shortest on top."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif", "font.size": 9}
    )
    measures = [name for name in CHARTED if name in next(iter(counts.values()))]
    figure, panels = plt.subplots(1, len(measures), figsize=(3 * len(measures) + 1, 2.9), sharey=True, squeeze=False)
    order = sorted(counts, key=lambda client: counts[client][measures[0]], reverse=True)
    for panel, measure in zip(panels[0], measures, strict=True):
        figures = [counts[client][measure] for client in order]
        colours = [ACCENT if client == OURS else PLAIN for client in order]
        bars = panel.barh(order, figures, color=colours, height=0.7)
        panel.bar_label(bars, labels=[_short(one) for one in figures], padding=3, fontsize=8, color="#404850")
        panel.set_title(measure, loc="left", fontsize=10)
        panel.set_xlim(0, max(figures) * 1.25)
        panel.set_xticks([])
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.spines["left"].set_color(FAINT)
        panel.tick_params(axis="y", length=0)
    figure.suptitle("Instructions of the client (fewer is better)", x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(figure)


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _short(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"
