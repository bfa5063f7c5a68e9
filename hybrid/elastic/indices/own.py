"""Which indices hold no products: the layer's own stores, and those of the cluster itself."""

from __future__ import annotations

from hybrid.errors import UsageError

#: Measurements make product indices under this name, because the layer's user may write there.
TRIAL = "hybrid-bench-"


def is_own(name: str) -> bool:
    """Whether an index of this name is a store of the layer, or one of the cluster."""
    return name.startswith(("hybrid-", ".")) and not name.startswith(TRIAL)


def refuse_own(*names: str) -> None:
    """Refuse names, of indices or of aliases, that no product can be in. For an alias: with the indices behind it.

    Raises:
        UsageError: one of them is a store of the layer, or of the cluster.
    """
    for name in names:
        if is_own(name):
            raise UsageError(
                f"{name!r} holds no products: names that begin with `hybrid-` or a dot belong to Hybrid and to "
                "Elasticsearch; use another index"
            )
