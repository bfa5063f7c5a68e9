"""The base of all kinds of trained models: held-out figures compared with the active version, and publishing."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from hybrid.elastic.stores.models import ModelStores
from hybrid.errors import ModelVersionError

logger = logging.getLogger(__name__)

M = TypeVar("M")
CATALOGUE = "catalogue"
Progress = Callable[[str, int, int], None]  # (what is done, how many of it, of how many)


def silent(what: str, done: int, of: int) -> None:
    pass


@dataclass(frozen=True)
class HeldOut:
    """A model's figure on held-out examples, compared with the version that it is to replace.

    measure: name of the measure that `figure` and `before` are means of; more is better. against: the active version,
    or the baseline without one. before: its figure on the same examples, held out too; None: there is nothing to
    compare with. proven: whether a larger figure is more than chance, where the training has tested it.
    """

    measure: str
    figure: float
    against: str
    before: float | None
    examples: int
    proven: bool = True

    @property
    def better(self) -> bool:
        """Whether it is worth publishing."""
        return self.before is None or (self.proven and self.figure > self.before)

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.measure} {self.figure:.4f} of {self.examples:,} held-out examples; nothing to compare with"
        verb = (
            "beats" if self.better else "does not beat beyond doubt" if self.figure > self.before else "does not beat"
        )
        return (
            f"{self.measure} {self.figure:.4f} {verb} {self.against} {self.before:.4f} on {self.examples:,} held-out "
            "examples"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "better": self.better}


class Trained(abc.ABC):
    """The result of a training, before it is published. Subclasses are data classes with these fields.

    family: the kind of model, as the command line and the store name it. method: how it was learned. encoders: part ->
    {"spec", "version"} of the encoders whose vectors it takes. version: its name, once it is published.
    """

    family: str
    index: str
    method: str
    encoders: Mapping[str, Mapping[str, str]]
    held_out: HeldOut
    version: str | None

    @property
    def stem(self) -> str:
        """The first part of its name, where the user chooses none."""
        return f"{self.index}-{self.method.replace('+', '-')}"

    @property
    def better(self) -> bool:
        """Whether it is better than the active version on held-out examples."""
        return self.held_out.better

    @property
    def doubt(self) -> str:
        """Why its training does not make it active, "" for no reason. It is published all the same."""
        held_out = self.held_out
        if held_out.before is None or held_out.figure >= held_out.before:
            return ""
        return f"it is worse than {held_out.against}"

    @abc.abstractmethod
    def report(self) -> dict[str, Any]:
        """All figures of the training, without the model's numbers."""

    @abc.abstractmethod
    def numbers(self, version: str) -> bytes:
        """The stored form of the model, as a version of that name. Raises where it could not be loaded again."""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.report(), "version": self.version, "held_out": self.held_out.to_json(), "better": self.better,
            "doubt": self.doubt,
        }  # fmt: skip


def active_model(
    models: ModelStores, kind: str, version: str, read: Callable[[Mapping[str, Any], bytes], M]
) -> tuple[Mapping[str, Any], M] | None:
    """(document of the active version, its model), to compare with; None where it cannot be read, because a lost model
    must not prevent its successor from being published.

    read: the model from (document, bytes); raises ValueError where these are damaged.
    """
    try:
        about, data = models(kind).get(version)
        return about, read(about, data)
    except (ModelVersionError, ValueError) as error:
        logger.warning("not compared with %s %r, which is active: %s", kind, version, error)
        return None


def publish(
    models: ModelStores,
    trained: Trained,
    name: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Store the model as a version; returns its name. The version is not active before it is applied.

    about: more fields of its report: "list" (the judgments), "by" (the user), "order".

    Raises:
        ModelVersionError: there is one of that name.
    """
    versions = models(trained.family)
    name = name or versions.next_name(trained.index, trained.stem)
    body = {
        "method": trained.method, "encoders": trained.encoders, "held_out": trained.held_out.to_json(),
        "report": {**trained.report(), **(about or {})},
    }  # fmt: skip
    versions.add(trained.index, name, body, trained.numbers(name))
    trained.version = name
    return name
