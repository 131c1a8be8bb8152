"""What mkdocs is told beyond mkdocs.yml: a picture from outside docs/, and literal blocks as docstrings mark them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

CHART = "benchmarks/results/chart.svg"


def on_files(files: Any, config: Any) -> Any:
    """The chart stands beside the figures it is made of; the site gets a copy."""
    root = Path(config.config_file_path).parent
    files.append(File.generated(config, CHART, abs_src_path=str(root / CHART)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Seen from docs/, as a reader of the repository does, the chart is one folder up."""
    return markdown.replace(f"(../{CHART})", f"({CHART})")


def on_page_content(html: str, **_: Any) -> str:
    """A docstring announces code with ``::``, which is for `help()` and for nobody here."""
    return re.sub(r"(\w?)::</p>", lambda match: f"{match[1]}:</p>" if match[1] else "</p>", html)
