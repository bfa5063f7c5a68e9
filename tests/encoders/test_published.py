"""A trained model as a part of a process: fetched once, a failure remembered for a while, damage in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hybrid.contracts import Encoder
from hybrid.encoders import TRAINED, get_encoder
from hybrid.encoders.base import RETRY_AFTER_S
from hybrid.encoders.trained.published import PublishedModel
from hybrid.errors import ClusterUnreachableError, EncoderError, HybridError, ModelMissingError, ModelVersionError
from hybrid.settings import Settings


class Number(PublishedModel[int]):
    """A model that is one number, and stands on an encoder of texts where `about` names one."""

    dims = 1

    def from_bytes(self, about: Mapping[str, Any], data: bytes) -> int:
        if about.get("encoders"):
            self.part(about, "text")
        return int(data)


class Cluster:
    """Gives a version, or fails; counts how often it is asked."""

    def __init__(self, data: bytes = b"7", error: HybridError | None = None, **about: Any) -> None:
        self.data, self.error, self.about = data, error, about
        self.asked = 0
        self.now = 100.0

    def __call__(self) -> tuple[dict[str, Any], bytes]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.about, self.data


def number(cluster: Cluster) -> Number:
    settings = Settings()

    def encoder(spec: str) -> Encoder:
        return get_encoder(spec, settings)

    return Number("number:v", cluster, encoder, settings, lambda: cluster.now)


def test_it_is_fetched_once_and_only_when_it_is_used() -> None:
    cluster = Cluster()
    model = number(cluster)
    assert model.version == "number:v" and cluster.asked == 0
    assert [model.trained for _ in range(3)] == [7, 7, 7] and cluster.asked == 1


@pytest.mark.parametrize(("cluster", "kind", "said"), [
    (Cluster(b"seven"), ModelVersionError, "number 'v' is damaged (invalid literal for int() with base 10: b'seven'); "
                                           "train another, or apply the version before"),
    (Cluster(error=ModelMissingError("there is no number version 'v'")), ModelMissingError, "there is no number"),
    (Cluster(encoders={"text": {"spec": "toy:8", "version": "toy@8+0"}}), EncoderError,
     "number:v was trained on toy@8+0, and this process has toy"),
])  # fmt: skip
def test_a_failure_is_remembered_for_half_a_minute(cluster: Cluster, kind: type[EncoderError], said: str) -> None:
    model = number(cluster)
    for _ in range(3):
        with pytest.raises(kind) as caught:
            _ = model.trained
        assert str(caught.value).startswith(said) and cluster.asked == 1
    cluster.now += RETRY_AFTER_S - 0.1
    with pytest.raises(kind):
        _ = model.about
    assert cluster.asked == 1
    cluster.now += 0.2
    cluster.error, cluster.data, cluster.about = None, b"8", {}
    assert model.trained == 8 and cluster.asked == 2


def test_a_cluster_that_does_not_answer_is_asked_again() -> None:
    """Its answer says nothing of the model; a search without it fails all the same."""
    cluster = Cluster(error=ClusterUnreachableError("nobody answers"))
    model = number(cluster)
    for times in (1, 2):
        with pytest.raises(ClusterUnreachableError):
            _ = model.trained
        assert cluster.asked == times


@pytest.mark.parametrize("kind", sorted(TRAINED))
def test_every_kind_tells_damage_alike(kind: str) -> None:
    settings = Settings()
    mfcc, words = get_encoder("mfcc", settings), get_encoder("minilm-words", settings)
    about = {
        "method": "any",
        "encoders": {"audio": {"spec": "mfcc", "version": mfcc.version},
                     "text": {"spec": "minilm-words", "version": words.version}},
    }  # fmt: skip
    cluster = Cluster(np.random.default_rng(0).bytes(400), **about)
    model = TRAINED[kind](f"{kind}:v", cluster, lambda spec: get_encoder(spec, settings), settings)
    for _ in range(2):
        with pytest.raises(ModelVersionError, match=rf"^{kind} 'v' is damaged \(.*\); train another, or apply the ver"):
            _ = model.trained
    assert cluster.asked == 1
