"""Vectors as they are kept in documents: for the cluster to search by, and as codes that true scores are made from.

A code is the vector in float16, as base64. What has several views (the pictures of a product, the frames of a video)
has a list: the code of their mean, which is the vector that is searched by, and one for each view, with its number in
front, for doc values come back sorted. A text whose title has a vector of its own has a list too: the code of all text,
and that of the title, in int8. Nothing but the true score looks at views and titles, so that a list goes wherever a
code does. Doc values come back in any order; each kind of code is told by its length.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pybase64

#: What `hybrid.codes.NAME` holds.
Code = str | list[str]

#: Every float16 as float32. By table: numpy converts float16 one number at a time, which took longer than all the rest.
_HALVES = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)


def encode_vector(vector: np.ndarray, as_base64: bool) -> str | list[float]:
    """A vector as the cluster takes it. vector: (dims,) float32."""
    if as_base64:
        return pybase64.b64encode(vector.astype(">f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.astype(np.float32).tolist()
    return numbers


def encode_code(vector: np.ndarray, views: np.ndarray | None = None, title: np.ndarray | None = None) -> Code:
    """What true scores are computed from; error of a cosine: under 1e-3, of a title's under 4e-3.

    vector, title: (dims,). views: (n, dims) or None.
    """
    code = pybase64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")
    if title is not None:
        # The length of the vector is 1, so what is kept is its direction. A float16 would double what searches read.
        steps = np.rint(title * (127 / max(float(np.abs(title).max()), 1e-9))).astype(np.int8)
        return [code, pybase64.b64encode(steps.tobytes()).decode("ascii")]
    if views is None or len(views) < 2:
        return code
    numbered = np.empty((len(views), 1 + views.shape[1]), dtype="<u2")
    numbered[:, 0] = np.arange(len(views))
    numbered[:, 1:] = np.ascontiguousarray(views, dtype="<f2").view("<u2")
    return [code, *(pybase64.b64encode(row.tobytes()).decode("ascii") for row in numbered)]


def code_fits(code: object, dims: int) -> bool:
    """Whether it is the code of a vector of that many dimensions, or such a code with views."""
    first = _first(code)
    if first is None:
        return False
    try:
        return len(pybase64.b64decode(first, validate=True)) == dims * 2
    except binascii.Error:
        return False


def _first(code: object) -> str | None:
    first = code[0] if isinstance(code, list) and code else code
    return first if isinstance(first, str) else None


def decode_code(code: object, dims: int) -> np.ndarray | None:
    """(dims,) float32 of a code, without its views, or None where it is none of a vector of that many dimensions."""
    first = _first(code)
    vector: np.ndarray | None = decode_codes([first], dims)[0] if first and code_fits(first, dims) else None
    return vector


def vector_of(code: Code, dims: int, as_base64: bool) -> str | list[float]:
    """What `encode_vector` gives for the vector behind a code that fits."""
    return encode_vector(decode_codes([_first(code) or ""], dims)[0], as_base64)


def decode_codes(codes: Sequence[str], dims: int) -> np.ndarray:
    """(len(codes), dims) float32 from base64 float16."""
    return np.asarray(_HALVES[_halves(codes, dims)])


def decode_views(codes: Sequence[str], dims: int) -> tuple[np.ndarray, np.ndarray]:
    """((n,) numbers of the views, (n, dims) float32) of codes of views."""
    numbered = _halves(codes, 1 + dims)
    return numbered[:, 0].astype(int), np.asarray(_HALVES[numbered[:, 1:]])


def decode_titles(codes: Sequence[str], dims: int) -> np.ndarray:
    """(len(codes), dims) float32, rows of length 1, of codes of titles."""
    return unit(np.frombuffer(_bytes(codes, dims), dtype=np.int8).reshape(len(codes), dims).astype(np.float32))


def kind(code: str, dims: int) -> Literal["whole", "view", "title", ""]:
    """What a code, as a doc value gives it, is the vector of: all of a product, one view of it, or its title.

    "": it is of vectors of another length.
    """
    size = len(code) // 4 * 3 - code.count("=", -2)
    if size == 2 * dims:
        return "whole"
    return "title" if size == dims else "view" if size == 2 * dims + 2 else ""


def _halves(codes: Sequence[str], width: int) -> np.ndarray:
    return np.frombuffer(_bytes(codes, 2 * width), dtype="<u2").reshape(len(codes), width)


def _bytes(codes: Sequence[str], size: int) -> bytes:
    """The bytes of codes that have `size` each."""
    if size % 3 == 0 and all(len(code) * 3 == size * 4 for code in codes):
        return pybase64.b64decode("".join(codes), validate=True)  # no code ends in padding: all of them are one text
    return b"".join(pybase64.b64decode(code, validate=True) for code in codes)


#: How much of the vector of `fused` is the photo's where words stand beside it.
PHOTO_SHARE = 0.6


def between(photo: np.ndarray | None, words: np.ndarray | None) -> np.ndarray | None:
    """The vector (dims,) of a photo and words in one space, "this, but in red": what is between them is like both."""
    if photo is None or words is None:
        return photo if words is None else words
    return unit(PHOTO_SHARE * photo + (1 - PHOTO_SHARE) * words)


def unit(vectors: np.ndarray) -> np.ndarray:
    """A vector (dims,), or each row of (n, dims), at length 1, float32; what is zero stays so."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 1e-9, lengths, 1), np.float32)
