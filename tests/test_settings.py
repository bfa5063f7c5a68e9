"""Settings: their page is made of them, bad values are one line, secrets stay out of repr."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid.errors import UsageError
from hybrid.settings import Settings, load_settings
from scripts import settings_page


def test_the_page_of_settings_is_the_one_made_of_them() -> None:
    page = settings_page.page()
    assert settings_page.FILE.read_text("utf-8") == page, "run python -m scripts.settings_page"
    missing = [name for name in Settings.model_fields if f"`HYBRID_{name.upper()}`" not in page]
    assert missing == []


def test_every_setting_is_described_in_a_sentence() -> None:
    poor = [
        name
        for name, field in Settings.model_fields.items()
        if not (field.description or "").endswith(".") or not (field.description or "")[0].isupper()
    ]
    assert poor == []


def test_a_bad_value_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_DEPTH", "many")
    load_settings.cache_clear()
    with pytest.raises(UsageError, match="setting depth: .*HYBRID_DEPTH"):
        load_settings()
    load_settings.cache_clear()


def test_toml_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hybrid.toml").write_text('index = "shop"\ndepth = 50\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYBRID_CONFIG", raising=False)
    monkeypatch.setenv("HYBRID_DEPTH", "60")
    found = Settings()
    assert (found.index, found.depth) == ("shop", 60)


def test_secrets_stay_out_of_repr() -> None:
    assert "hunter2" not in repr(Settings(es_api_key="hunter2", es_password="hunter2"))
