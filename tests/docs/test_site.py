"""The site: built strictly, offline; a README that is read in two minutes; pages that keep to rules of prose."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .pages import DOCS, ROOT, blocks, pages, prose

LONGEST_README = 150
LARGEST_PICTURE = 150_000
#: Addresses of what a page loads; a link that is followed by hand loads nothing.
_LOADED = re.compile(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="?((?:https?:)?//[^" >]+)')


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > len(pages())  # all of them, the changelog, and the page for what is not found
    loaded = [f"{page.name}: {found}" for page in built for found in _LOADED.findall(page.read_text("utf-8"))]
    assert loaded == []
    assert "Unreleased" in (tmp_path / "changelog.html").read_text()


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= LONGEST_README
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
    chapters = {str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md")} - {"docs/index.md", "docs/changelog.md"}
    learning = {page for page in chapters if page.startswith("docs/learning/")} - {"docs/learning/index.md"}
    assert chapters - learning <= set(links)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_readable(page: Path) -> None:
    plain = [block.where for block in blocks(page) if not block.language]
    assert plain == [], "each block names its language"
    wide = [
        f"{page.name}:{number}"
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1)
        if len(line) > 120 and not line.startswith(("|", "- [", "!["))
    ]
    assert wide == []
    run = 0
    for line in prose(page).splitlines():
        run = 0 if line.startswith("#") else run + bool(line.strip() and not line.startswith(("|", "- ", "  ", "[^")))
        assert run <= 20, f"a heading is missing before {line!r}"


def test_pictures_are_small_and_used() -> None:
    used = {name for page in pages() for name in re.findall(r"pictures/([\w-]+\.png)", page.read_text("utf-8"))}
    there = {path.name: path for path in (DOCS / "pictures").iterdir()}
    assert set(there) == used
    for path in there.values():
        assert path.stat().st_size < LARGEST_PICTURE
        with Image.open(path) as picture:
            assert picture.width in (390, 1280)
