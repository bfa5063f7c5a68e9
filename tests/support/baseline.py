"""Figures of quality as they were when somebody last accepted them; a test fails when one is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent.parent / "measure" / "baseline.json"
#: How much lower a figure may be: another engine version, or another processor's arithmetic, moves one that much.
NOISE = 0.01


@dataclass(frozen=True)
class Baseline:
    """Compares with FILE, or writes into it: `pytest --write-baseline` with the tests whose figures are to be taken."""

    write: bool

    def check(self, name: str, noise: float = NOISE, **figures: float) -> None:
        """Compare figures, of which more is better, with those under that name.

        noise: a figure that a few queries decide jumps by more than NOISE; then it is what one of them is worth.
        """
        text = FILE.read_text(encoding="utf-8") if FILE.is_file() else "{}"
        stored: dict[str, dict[str, float]] = json.loads(text)
        measured = {figure: round(float(value), 4) for figure, value in figures.items()}
        if self.write:
            stored[name] = measured
            FILE.write_text(json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
            return
        assert name in stored, f"no figures of {name!r} in {FILE.name}: accept these by --write-baseline: {measured}"
        assert stored[name].keys() == measured.keys()
        lost = {figure: (value, stored[name][figure]) for figure, value in measured.items()
                if value < stored[name][figure] - noise}  # fmt: skip
        assert not lost, f"{name}, now and in {FILE.name}: {lost}; if that is wanted, accept it by --write-baseline"
