"""Every attack of tests.measure.attacks, on both versions, each with an engine and a web server of its own."""

from __future__ import annotations

import pytest

from tests.measure.attacks import ATTACKS, run


@pytest.mark.long
@pytest.mark.parametrize("version", ["9", "8"])
def test_every_attack_is_held_off(version: str) -> None:
    assert run(version, list(ATTACKS)) == 0
