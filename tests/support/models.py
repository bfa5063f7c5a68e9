"""Versions of models as a training would publish them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from hybrid.services import Services


def keep(
    services: Services, index: str, version: str, kind: str, model: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    """Keep a version of weights. model: as WeightsModel.to_json gives it, or something broken."""
    about = {"method": kind, "encoders": {}, "report": report}
    services.models("weights").add(index, version, about, orjson.dumps(model))
