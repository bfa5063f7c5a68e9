"""The `hybrid` command. Parses, calls one function, shows the answer."""

from __future__ import annotations

import logging
import os
import sys

import typer

from hybrid.cli import admin, bench, engine, evaluate, judgments, options, priors, reindex, search, shop, synonyms
from hybrid.cli.training import alignment, models, sounds, tags, tfidf, weights
from hybrid.errors import HybridError

app = typer.Typer(
    name="hybrid",
    help="Multimodal search for the Elasticsearch that a shop already runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=options.ROLES_TOLD)(shop.index)
app.command(epilog=options.ROLES_TOLD)(shop.attach)
app.command(epilog=options.ROLES_TOLD)(reindex.reindex)
for command in (
    engine.up, engine.down, engine.status, shop.delete, search.search, search.similar, evaluate.evaluate,
    shop.sync, shop.calibrate, shop.doctor, engine.worker, engine.serve, engine.demo,
    bench.bench,
):  # fmt: skip
    app.command()(command)
# Importing them adds their commands to `hybrid train`.
_FAMILIES = (weights, alignment, tags, sounds, tfidf)
app.add_typer(judgments.judgments, name="judgments")
app.add_typer(options.train, name="train")
app.add_typer(models.models, name="models")
app.add_typer(synonyms.synonyms, name="synonyms")
app.add_typer(priors.priors, name="priors")
app.add_typer(admin.admin, name="admin")


def main() -> None:
    """Entry point: errors are one line on stderr; exit code 0 done, 1 failed, 2 used wrongly."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter("%(message)s"))
    steps = logging.getLogger("hybrid.steps")
    steps.addHandler(shown)
    steps.setLevel(logging.INFO)
    steps.propagate = False
    for chatty in ("elastic_transport", "celery"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        app()
    except HybridError as error:
        print(f"hybrid: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("hybrid: interrupted; what was written stays, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
