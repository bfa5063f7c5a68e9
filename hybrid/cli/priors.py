"""`hybrid priors`: numbers of products, such as rating and sales, that order what is found equally well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.options import Index, Json, operator
from hybrid.cli.output import print_json

if TYPE_CHECKING:
    from hybrid.contracts import Prior

priors = typer.Typer(
    help="Numbers of products, such as rating and sales, that order what is found equally well.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip


@priors.command("set")
def set_priors(
    fields: Annotated[list[str], typer.Argument(help="Numbers or dates of the index; FIELD:less: less is better.")],
    index: Index,
    json: Json = False,
) -> None:
    """Let numbers of the products count, in place of those before; searches take them up within seconds.

    Their values are measured now. Set them again when the catalogue has become another.
    Example: hybrid priors set rating sales price:less --index shop
    """
    _show(index, _set(index, fields), json)


@priors.command("show")
def show(index: Index, json: Json = False) -> None:
    """Print the numbers that count. Example: hybrid priors show --index shop"""
    from hybrid.services import build_services

    _show(index, build_services().searcher.profile(index).priors, json)


@priors.command("remove")
def remove(index: Index, json: Json = False) -> None:
    """Let no number count. Example: hybrid priors remove --index shop"""
    _show(index, _set(index, []), json)


def _set(index: str, fields: Sequence[str]) -> list[Prior]:
    from hybrid.operations.priors import set_priors
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), "priors_set", index, fields=list(fields)):
        return set_priors(services, index, fields)


def _show(index: str, counting: Sequence[Prior], json: bool) -> None:
    from hybrid.operations.priors import said, to_json

    if json:
        print_json(to_json(index, counting))
        return
    for prior in counting:
        print(said(prior))
    if not counting:
        print(f"no number of {index} counts")
