"""Calibrated confidence of predicted tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def softmax(scores: np.ndarray) -> np.ndarray:
    """(n, tags) rows that sum to 1."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Calibration:
    """The correction of a model's probabilities.

    Their logarithms are lowered by `offsets`, more for frequent tags, and divided by `temperature`. offsets: one a tag,
    or none: the balance times the logarithm of the tag's share (Menon et al., ICLR 2021, after the training).
    threshold: the least confidence of a tag that is written.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    offsets: tuple[float, ...] = ()

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, tags) -> (n, tags) rows that sum to 1."""
        return softmax(_adjusted(probabilities, self.offsets) / self.temperature)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a model's bytes."""
        return {"numbers": np.array([self.temperature, self.threshold]), "offsets": np.array(self.offsets)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Raises KeyError or ValueError where these are no such arrays."""
        temperature, threshold = arrays["numbers"].tolist()
        # Models that were published before offsets existed have none.
        return cls(temperature, threshold, tuple(arrays["offsets"].tolist()) if "offsets" in arrays else ())


def _adjusted(probabilities: np.ndarray, offsets: Sequence[float]) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, 1e-9))
    return np.asarray(logs - np.array(offsets) if len(offsets) else logs)
