"""Options that several commands have, and what they show alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.output import console, say

if TYPE_CHECKING:
    from hybrid.contracts import IndexProfile

Json = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]
Index = Annotated[str, typer.Option("--index", help="Name of the index.")]
Workers = Annotated[int, typer.Option(min=0, max=64, help="Celery worker processes; 0: in this process.")]
Map = Annotated[str | None, typer.Option("--map", help="Fields by role, e.g. title=name+name_zh,price=offer.price")]
Lexical = Annotated[
    str | None,
    typer.Option(help="Your own analysed fields to find words in, e.g. name^3,description; hybrid.terms: ours."),
]
Media = Annotated[Path | None, typer.Option(help="Folder of the pictures.")]


def names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def show_fields(what: str, profile: IndexProfile, sample: Sequence[dict[str, Any]], notes: Sequence[str]) -> None:
    """A table of how documents are read, and what else was decided. what: is read, in the title."""
    from rich.table import Table

    from hybrid.catalogue.fields import describe

    table = Table("role", "fields", "example", title=f"How {what} (change it with --map)")
    for role, fields, example in describe(profile.fields, sample):
        table.add_row(role, fields if len(fields) <= 60 else fields[:57] + "...", example[:60])
    console().print(table)
    for note in notes:
        say(note)


train = typer.Typer(help="Learn from judgments.", no_args_is_help=True, rich_markup_mode=None)


@train.callback()
def _train() -> None:
    """Learn from judgments."""
