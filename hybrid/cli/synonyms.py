"""`hybrid synonyms`: words that are also searched for where others are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.options import Index, Json, operator
from hybrid.cli.output import print_json
from hybrid.errors import UsageError

if TYPE_CHECKING:
    from hybrid.elastic.stores.synonyms import SynonymFile

synonyms = typer.Typer(
    help="Words that are also searched for where others are typed.", no_args_is_help=True, rich_markup_mode=None
)
InsteadOf = Annotated[
    int | None, typer.Option(min=0, help="The version that is replaced, of `show`; refused where it is another by now.")
]


@synonyms.command("set")
def set_synonyms(
    file: Annotated[Path, typer.Argument(help="A rule a line: `sofa, couch` or `trainers => running shoes`.")],
    index: Index,
    instead_of: InsteadOf = None,
    json: Json = False,
) -> None:
    """Replace the synonyms of an index by those of a file; searches take them up within seconds.

    The format is that of Elasticsearch and Solr: two-way with commas, one-way with =>, # begins a comment.
    Example: hybrid synonyms set synonyms.txt --index shop
    """
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not in UTF-8 (byte {error.start}); save it as UTF-8") from error
    kept = _put(index, text, instead_of, "synonyms_set")
    if json:
        print_json({"index": index, **kept.to_json()})
    else:
        print(
            f"{kept.rules:,} rules are in force for {index} (version {kept.version}); searches take them up in seconds"
        )


@synonyms.command("show")
def show(index: Index, json: Json = False) -> None:
    """Print the synonyms of an index as they were given. Example: hybrid synonyms show --index shop > synonyms.txt"""
    from hybrid.cli.output import say
    from hybrid.services import build_services

    services = build_services()
    services.searcher.profile(index)
    kept = services.synonym_files.get(index)
    if json:
        print_json({"index": index, **kept.to_json()})
        return
    say(f"version {kept.version}, {kept.rules:,} rules" + (f", by {kept.by} at {kept.at}" if kept.by else ""))
    print(kept.text.rstrip("\n"))


@synonyms.command("remove")
def remove(index: Index, instead_of: InsteadOf = None, json: Json = False) -> None:
    """Remove the synonyms of an index. Example: hybrid synonyms remove --index shop"""
    kept = _put(index, "", instead_of, "synonyms_remove")
    if json:
        print_json({"index": index, **kept.to_json()})
    else:
        print(f"{index} has no synonyms any more (version {kept.version})")


def _put(index: str, text: str, instead_of: int | None, action: str) -> SynonymFile:
    from hybrid.services import build_services

    services = build_services()
    services.searcher.profile(index)
    with services.audit.recorded(operator(), action, index):
        return services.synonym_files.put(index, text, operator(), instead_of)
