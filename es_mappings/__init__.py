"""JSON templates of everything that Hybrid keeps in Elasticsearch, and the languages it can analyse."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib import resources
from typing import Any


def load(name: str) -> dict[str, Any]:
    """A fresh copy of the template `name`, e.g. "product", "jobs", "dead_letters", "languages".

    Raises:
        FileNotFoundError: there is no such template.
    """
    return copy.deepcopy(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
