"""What every kind of trained model shares: held-out figures beside what is active, and how it becomes a version."""

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
    """What a model is worth on examples that it did not learn from, beside what it is to replace.

    measure: what `figure` and `before` are means of; more is better. against: the active version, or what there is
    without one; before: its figure on the same examples, by models that had not seen them either. None: there is
    nothing to compare with.
    """

    measure: str
    figure: float
    against: str
    before: float | None
    examples: int

    @property
    def better(self) -> bool:
        """Whether it is worth publishing."""
        return self.before is None or self.figure > self.before

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.measure} {self.figure:.4f} of {self.examples:,} held-out examples; nothing to compare with"
        verb = "beats" if self.better else "does not beat"
        return (
            f"{self.measure} {self.figure:.4f} {verb} {self.against} {self.before:.4f} on {self.examples:,} held-out "
            "examples"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "better": self.better}


class Trained(abc.ABC):
    """What came of a training, before it is published. Subclasses are data classes with these fields.

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
        """What its name begins with, where none is chosen."""
        return f"{self.index}-{self.method.replace('+', '-')}"

    @property
    def better(self) -> bool:
        """Whether it is better, held out, than what is active."""
        return self.held_out.better

    @abc.abstractmethod
    def report(self) -> dict[str, Any]:
        """All that was found out about it, without its numbers."""

    @abc.abstractmethod
    def numbers(self, version: str) -> bytes:
        """What is kept of it, as a version of that name. Raises where it could not be loaded again."""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.report(), "version": self.version, "held_out": self.held_out.to_json(), "better": self.better,
        }  # fmt: skip


def active_model(
    models: ModelStores, kind: str, version: str, read: Callable[[Mapping[str, Any], bytes], M]
) -> tuple[Mapping[str, Any], M] | None:
    """(all that is known of the active version, its numbers), to compare with; None where it cannot be read: a model
    that was lost must not keep its successor from being published.

    read: its numbers from (what is known of it, bytes); raises ValueError where they are damaged.
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
    """Keep it as a version; its name. It is not active before it is applied.

    about: more for its report: the "list" that it was trained on, "by" whom, the "order" that it came of.

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
