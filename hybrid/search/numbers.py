"""Numbers of the products themselves as signals: rating, sales, margin, freshness, or whatever a shop has. Pure.

They say nothing of the query, so they bring no candidates, and their weight is small: they order what is found equally
well. The merchandiser names the fields, and whether more or less of a number is better.

- A number scales to the share of the catalogue's values below it (its empirical distribution function, between the
  quantiles that were measured when it was named). So it is in [0, 1] and monotone, skewed numbers such as sales need no
  scale of their own, and the same value scales to the same number for every query.
- A date scales to one half for each half life of its age, which is the median age of the catalogue.
- A product without a value has the median of the catalogue. It would be favoured if the signal did not count for it:
  its other scores, which are high at the top of a list, would stand in its place. As nothing, it would be punished.
- Of several values of a product the best counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hybrid.contracts import FieldMap, IndexProfile, Prior
from hybrid.errors import UsageError

#: Percentiles that are measured of a number.
PERCENTS = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100)
_MEDIAN = PERCENTS.index(50)
#: After a name: less of the number is better.
LESS = ":less"
_TYPES = ("long", "double", "date")
_DAY_MS = 86_400_000
#: Days; a shorter half life would tell nothing but what was written today.
_LEAST_HALF_LIFE = 1.0
#: More numbers than this are no prior, and each is read with every candidate.
MOST = 10
#: Fields that an error names, those with the likest names first.
_NAMED = 12


def parse(names: Sequence[str], fields: FieldMap) -> list[tuple[str, bool]]:
    """(field, whether less is better) of names such as "rating" and "price:less".

    Raises:
        UsageError: a field that is no number and no date of the index, or that is named twice; too many.

    >>> parse(["rating", "price:less"], FieldMap({}, {"rating": "double", "price": "double"}))
    [('rating', False), ('price', True)]
    """
    wanted = {name.strip().removesuffix(LESS): name.strip().endswith(LESS) for name in names}
    if len(wanted) < len(names):
        raise UsageError("priors: name each field once")
    if len(wanted) > MOST:
        raise UsageError(f"priors: {MOST} fields at most")
    can = sorted(path for path, kind in fields.types.items() if kind in _TYPES)
    for path in wanted:
        if path not in can:
            near = can if len(can) <= _NAMED else [*difflib.get_close_matches(path, can, _NAMED, 0.0), "…"]
            raise UsageError(f"priors: {path!r} is no number and no date; there are: {', '.join(near) or 'none'}")
    return list(wanted.items())


def of(profile: IndexProfile) -> tuple[Prior, ...]:
    """The priors of an index whose field is what it was when it was named: another catalogue may have come since."""
    kinds = {True: ("date",), False: ("long", "double")}
    return tuple(one for one in profile.priors if profile.fields.types.get(one.field) in kinds[one.is_date])


def measured(field: str, less: bool, percentiles: Sequence[float], is_date: bool, now: int) -> Prior:
    """A prior, from the values of the catalogue at PERCENTS; of dates in milliseconds. now: see `today`.

    Raises:
        UsageError: all products have the same value.
    """
    if percentiles[0] == percentiles[-1]:
        raise UsageError(f"priors: all products have the same {field}, so it orders nothing")
    if is_date:
        age = now - percentiles[_MEDIAN] / _DAY_MS
        return Prior(field, less, (), max(_LEAST_HALF_LIFE, round(age, 1)))
    places: dict[float, list[float]] = {}
    for percent, value in zip(PERCENTS, percentiles, strict=True):
        places.setdefault(float(value), []).append(percent / 100)
    # A value that many products have stands in the middle of their shares.
    quantiles = tuple((value, round((shares[0] + shares[-1]) / 2, 4)) for value, shares in places.items())
    return Prior(field, less, quantiles, float(percentiles[_MEDIAN]))


def today() -> int:
    """Whole days since 1970, in UTC, so that the pages of one search agree."""
    return int(datetime.now(UTC).timestamp() * 1000 // _DAY_MS)


def raw(prior: Prior, values: Iterable[Any], now: int) -> float | None:
    """The raw score of a product's values, which are numbers, or milliseconds: the best number, or age in days.

    None where it has none.
    """
    numbers = [float(value) for value in values]
    if not numbers:
        return None
    if prior.is_date:
        return round(now - (min(numbers) if prior.less else max(numbers)) / _DAY_MS, 2)
    return min(numbers) if prior.less else max(numbers)


def score(
    scores: dict[str, dict[str, float | None]],
    imputed: dict[str, dict[str, float]],
    priors: Sequence[Prior],
    values: Callable[[str, str], Iterable[Any]],
) -> None:
    """Add the raw scores of every candidate to `scores`, and to `imputed` the median of those without a value.

    scores, imputed: signal -> product id -> score. values: of a product id and a field, dates in milliseconds.
    """
    now = today()
    ids = {id for of_signal in scores.values() for id in of_signal} if priors else ()
    for one in priors:
        scores[one.signal] = {id: raw(one, values(id, one.field), now) for id in ids}
        missing = {id: one.typical for id, value in scores[one.signal].items() if value is None}
        if missing:
            imputed[one.signal] = missing


def scaled(prior: Prior, raw: np.ndarray) -> np.ndarray:
    """Raw scores of any shape in [0, 1], where more is better; NaN scales to 0."""
    if prior.is_date:
        place = 0.5 ** (np.maximum(raw, 0.0) / prior.typical)
    else:
        values, shares = zip(*prior.quantiles, strict=True)
        place = np.interp(raw, values, shares)
    return np.asarray(np.nan_to_num(1 - place if prior.less else place))


def browsed(ids: Sequence[str], scores: Mapping[str, Mapping[str, float | None]], priors: Sequence[Prior]) -> list[str]:
    """Products that no words or vectors tell apart: by the first of the priors, where it ties by the next, then by id.

    Products without a value come last. scores: signal -> id -> raw score.
    """

    def key(id: str) -> tuple[Any, ...]:
        places: list[float] = []
        for prior in priors:
            value = scores.get(prior.signal, {}).get(id)
            # An age in days is less for what is newer.
            falling = 1.0 if prior.less != prior.is_date else -1.0
            places += [float(value is None), 0.0 if value is None else falling * value]
        return *places, id

    return sorted(ids, key=key)
