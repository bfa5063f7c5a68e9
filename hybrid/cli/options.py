"""Options that several commands have, and what they show alike."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.output import LiveProgress, console, print_json, say
from hybrid.contracts import ROLES

if TYPE_CHECKING:
    from hybrid.contracts import IndexProfile
    from hybrid.learning.models import Applied
    from hybrid.learning.trained import Trained
    from hybrid.services import Services

Json = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]
#: typer joins lines within a paragraph of an epilog, so each role is one.
ROLES_TOLD = "\n\n".join(["Roles for --map:", *(f"{role}: {meaning}" for role, meaning in ROLES.items())])
Index = Annotated[str, typer.Option("--index", help="Name of the index.")]
Workers = Annotated[int, typer.Option(min=0, max=64, help="Celery worker processes; 0: in this process.")]
Map = Annotated[str | None, typer.Option("--map", help="Fields by role, e.g. title=name+name_zh,price=offer.price")]
Lexical = Annotated[
    str | None,
    typer.Option(help="Your own analysed fields to find words in, e.g. name^3,description; hybrid.terms: ours."),
]
Language = Annotated[
    str | None,
    typer.Option(help="Language of the words, e.g. de; auto: that of each field's values; none: as before, or en."),
]
Media = Annotated[Path | None, typer.Option(help="Folder of the pictures.")]


def operator() -> str:
    """Who uses the command line, as the audit trail names them: no account of the admin page has such a name."""
    return f"{getpass.getuser()} (command line)"


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


train = typer.Typer(
    help="Train a model of your own data; it is published if it is better than what is active.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip
Name = Annotated[str | None, typer.Option(help="Name of the version; one is made up, if none.")]
Force = Annotated[bool, typer.Option("--force", help="Publish even what is no better than what is active.")]
Page = Annotated[Path | None, typer.Option(help="Write a page with figures and charts: FILE.html")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]


def end_training(
    services: Services,
    trained: Trained,
    show: Callable[[Any], None],
    name: str | None,
    force: bool,
    apply: bool,
    json: bool,
    about: Mapping[str, Any] | None = None,
    target: str | None = None,
) -> None:
    """Publish what was trained if it is better, apply it if that is wanted and there is no doubt, and say so. Exit code
    1: it is no better, or a product could not be enriched.

    force: publish what is no better as well. show: prints its figures. about: more for its report. target: what to call
    the index that can take it up, where it was not trained on one.
    """
    from hybrid.learning import models
    from hybrid.learning.trained import publish

    version, applied = None, None
    apply = apply and not trained.doubt
    if trained.better or force:
        detail = {"name": name or "", "force": force, "apply": apply, "held_out": str(trained.held_out)}
        with services.audit.recorded(operator(), f"train_{trained.family}", trained.index, **detail):
            version = publish(services.models, trained, name, about)
            if apply:
                with LiveProgress() as bar:
                    applied = models.apply(services, trained.family, trained.index, version, report=bar)
    if json:
        print_json({**trained.to_json(), "applied": applied and applied.to_json()})
    else:
        show(trained)
        print(f"{trained.held_out}")
        if version is None:
            print("nothing better to publish (--force publishes all the same)")
        elif applied is not None:
            print(f"published {version}; {said(applied)}")
        elif trained.family in models.BY_REINDEX:
            print(f"published {version}. {models.how_to_apply(trained.family, target or trained.index, version)}")
        else:
            because = f": {trained.doubt}" if trained.doubt else ""
            command = f"hybrid models apply {trained.family} {version} --index {trained.index}"
            print(f"published {version}, not active{because}; `{command}` applies it")
    if version is None or (applied is not None and not applied.complete):
        raise typer.Exit(1)


def said(applied: Applied) -> str:
    """What applying a version did, in one line."""
    line = f"{applied.version or f'no {applied.kind}'} is active for {applied.index}"
    if applied.run is None:
        return line + "; searches take it up within seconds"
    return f"{line}: {applied.run.encoded:,} of {applied.run.documents:,} products were written"
