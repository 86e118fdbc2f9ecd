"""The project's Markdown files, taken apart for the tests."""

import re
import shlex
from pathlib import Path

from conftest import ROOT

NAMED = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "experiments/README.md", "pretrained/README.md")
FILES = [
    *(ROOT / name for name in NAMED if (ROOT / name).exists()),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a file that are in `language`."""
    return [block for name, block in FENCED.findall(path.read_text()) if name == language]


def example(name: str) -> str:
    """Return the one Python example in ``docs/using.md`` that uses `name`."""
    return block_with(name, "python")


def block_with(name: str, language: str) -> str:
    """Return the one block of ``docs/using.md`` in `language` that holds `name`."""
    (found,) = (block for block in blocks(ROOT / "docs/using.md", language) if name in block)
    return found


def text_of(path: Path) -> str:
    """Return a file without its fenced blocks."""
    return FENCED.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """Return the anchors of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[tuple[str, ...]]:
    """Return every command that stands after a ``$`` in a ``console`` block, as words, each once."""
    shown = (command for path in FILES for block in blocks(path, "console") for command in commands_in(block))
    return list(dict.fromkeys(shown))


def commands_in(block: str) -> list[tuple[str, ...]]:
    """Return the commands of one ``console`` block in their order, as words."""
    whole = block.replace("\\\n", "")
    lines = (line[2:] for line in whole.splitlines() if line.startswith("$ "))
    return [tuple(shlex.split(part, comments=True)) for line in lines for part in line.split(" && ")]
