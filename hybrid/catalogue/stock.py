"""Whether a product can be had, by whatever its document says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid.catalogue.values import flag
from hybrid.contracts import FieldMap, values_at

#: The fields that say it where none has the role: a column of a shop's own, and that of Google's feeds and schema.org.
FIELDS = ("in_stock", "availability")


def in_stock(source: Mapping[str, Any], fields: FieldMap) -> bool | None:
    """Whether a product can be had; None where its document does not say. One of several values is enough for yes.

    >>> in_stock({"in_stock": ["no", "yes"]}, FieldMap({})), in_stock({"left": 0}, FieldMap({"stock": ("left",)}))
    (True, False)
    """
    for field in (*fields.roles.get("stock", ()), *FIELDS):
        values = list(values_at(source, field))
        if values:
            return not all(flag(value) is False for value in values)
    return None
