"""The pages of the documentation, and what stands in them: blocks of commands, and commands in running text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
#: What a block may begin with instead of being run; see docs/contributing.md.
PRODUCTION = "needs a production cluster"
TESTED = "tested by "
#: Languages whose blocks are run.
RUN = ("bash", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first line in the page; marker: what the comment before it says, or ""."""

    page: Path
    line: int
    language: str
    text: str
    marker: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page under docs/; the changelog tells of commands as they were, so it is not one."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if page.name != "changelog.md")]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    marker, language, start, inside = "", "", 0, False
    lines: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if inside and line.strip() == "```":
            yield Block(page, start, language, "\n".join(lines) + "\n", marker)
            inside, marker = False, ""
        elif inside:
            lines.append(line)
        elif line.lstrip().startswith("```"):
            inside, language, start, lines = True, line.strip().removeprefix("```"), number + 1, []
        elif comment := re.fullmatch(r"<!-- (.*) -->", line.strip()):
            marker = comment[1]
        elif line.strip():
            marker = ""
    assert not inside, f"{page}: the block of line {start} has no end"


def prose(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_code(page: Path) -> Iterator[str]:
    """What stands between backticks in running text and tables."""
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        yield code.replace("\\|", "|")
