"""Write docs/settings.md from `hybrid.settings.Settings`: `python -m scripts.settings_page`.

A test compares the file with `page()`, so that it cannot go stale.
"""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo

from hybrid.settings import Settings

FILE = Path(__file__).parent.parent / "docs" / "settings.md"

#: The first setting of each group, in the order of `Settings`, and the group's heading.
GROUPS = {
    "es_url": "Elasticsearch",
    "es_archive": "The embedded engine",
    "redis_url": "Workers",
    "text_encoder": "Encoders",
    "media_root": "Pictures and recordings",
    "index": "Search",
    "push_token": "Web",
    "admin_secret": "The admin page",
}

INTRO = """\
<!-- Written by `python -m scripts.settings_page` from hybrid/settings.py. Change it there. -->

# Settings

Every command, worker and web process reads the same settings. There are three sources, and the first one wins:

1. an environment variable, for example `HYBRID_DEPTH=300`;
2. a file `hybrid.toml` in the working folder, or the file that `HYBRID_CONFIG` names, for example `depth = 300`;
3. the default in the tables below.

In `hybrid.toml` the name has no prefix and is written in lower case. A value that cannot be used stops the command
with one line that names the setting.
"""


def page() -> str:
    """The whole page.

    Raises:
        ValueError: `GROUPS` names a setting that is not there, or the first setting has no group.
    """
    fields = Settings.model_fields
    if unknown := GROUPS.keys() - fields.keys():
        raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
    lines: list[str] = []
    for name, field in fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", "", "| setting | default | meaning |", "|---|---|---|"]
        elif not lines:
            raise ValueError(f"{name} stands before the first group")
        lines.append(f"| `HYBRID_{name.upper()}` | {_default(field)} | {field.description}{_range(field)} |")
    return INTRO + "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default == "" or field.default_factory is not None:
        return "–"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _range(field: FieldInfo) -> str:
    """The bounds of a number, as they are checked."""
    low, high, above = (
        next((getattr(item, key) for item in field.metadata if hasattr(item, key)), None) for key in ("ge", "le", "gt")
    )
    if low is not None and high is not None:
        return f" {low} to {high}."
    if low:  # "at least 0" says nothing
        return f" At least {low}."
    return f" More than {above}." if above is not None else ""


if __name__ == "__main__":
    FILE.write_text(page(), "utf-8")
