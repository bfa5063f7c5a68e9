"""The only reader of the environment and of hybrid.toml.

Precedence: HYBRID_* environment variables, then hybrid.toml (in the working folder, or the file named by
HYBRID_CONFIG), then the defaults below. Frozen: passed down, never changed.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from hybrid.errors import UsageError


class Settings(BaseSettings):
    """Every setting, with its unit. HYBRID_ES_URL sets `es_url`, and so on."""

    model_config = SettingsConfigDict(env_prefix="HYBRID_", frozen=True, extra="forbid")

    es_url: str | None = Field(default=None, description="Address of Elasticsearch. Without it: the embedded engine.")
    es_api_key: SecretStr | None = Field(default=None, description="API key for Elasticsearch.")
    es_username: str | None = Field(default=None, description="User name for Elasticsearch.")
    es_password: SecretStr | None = Field(default=None, description="Password for Elasticsearch.")
    es_ca_certs: Path | None = Field(default=None, description="CA bundle that signs the https certificate.")
    es_timeout_s: float = Field(default=10.0, gt=0, description="Seconds to wait for a search or a write.")

    es_patience_s: float = Field(
        default=300.0,
        gt=0,
        description="Seconds that a run goes on asking while a busy cluster accepts none of its requests.",
    )

    es_archive: Path | None = Field(
        default=None, description="A downloaded Elasticsearch archive. Without it, Maven fetches one."
    )
    es_heap: str = Field(default="512m", pattern=r"^\d+[mg]$", description="Heap of the embedded Elasticsearch.")
    es_jvm_options: str = Field(
        default="",
        pattern=r"^(-\S+( +-\S+)*)?$",
        description="More options for the embedded Elasticsearch's Java, separated by spaces.",
    )
    node: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the embedded engine.")
    data_dir: Path = Field(
        default_factory=lambda: user_cache_path("hybrid", appauthor=False),
        description="Folder of embedded engines, unpacked archives, converted models and logs. "
        "Without it: the user's cache folder.",
    )
    node_dir: Path | None = Field(
        default=None,
        description="Folder for the data of embedded engines, for example on a fast disk. Without it: `data_dir`.",
    )

    redis_url: str | None = Field(default=None, description="Celery broker. Without it: the embedded Redis.")
    batch_size: int = Field(default=128, ge=1, le=256, description="Products in one task.")
    visibility_timeout_s: int = Field(default=300, ge=30, description="Seconds until an unacknowledged task returns.")
    sync_interval_s: int = Field(default=60, ge=5, description="Seconds between the syncs of `hybrid worker --beat`.")
    owner_pid: int | None = Field(
        default=None, description="Process that a worker ends with. The run that starts the worker sets it."
    )

    text_encoder: str = Field(
        default="minilm", description="Encoder of the text signal. [Encoders](encoders.md) has the names."
    )
    text_zh_encoder: str = Field(
        default="bge-small-zh",
        description="Encoder of Chinese texts, where that of the text signal does not read them. Empty: none.",
    )
    title_vectors: bool = Field(
        default=False,
        description="Whether titles get vectors of their own beside those of all text: on or off. "
        "[Encoders](encoders.md#vectors-of-titles) says what they bring and cost.",
    )
    image_encoder: str = Field(
        default="efficientnet-lite0", description="Encoder of the image signal and of the frames of the video signal."
    )
    audio_encoder: str = Field(default="mfcc", description="Encoder of the audio signal.")
    threads: int = Field(default=0, ge=0, description="Inference threads of a process. 0: all cores.")

    media_root: Path | None = Field(
        default=None, description="Folder of product pictures. Without it: the one that the index was made with."
    )
    media_urls: bool = Field(default=True, description="Whether pictures behind http(s) addresses are fetched.")
    media_private_hosts: str = Field(
        default="", description="Hosts (or host:port), comma-separated, whose pictures may be at private addresses."
    )

    index: str | None = Field(
        default=None, description="Index that is searched when a request names none. Without it: the only one."
    )
    depth: int = Field(default=60, ge=10, le=1000, description="Candidates taken from each signal.")

    web_threads: int = Field(default=8, ge=1, le=256, description="Searches at once in a process of the web server.")
    push_token: SecretStr | None = Field(
        default=None, description="Token of `POST /api/documents/<index>`. Without it, pushing is off."
    )
    dropin_indices: str = Field(
        default="", description="Indices served at `/es`, comma-separated. Without it: every index of the layer."
    )
    dropin_key: SecretStr | None = Field(
        default=None, description="Key that callers of `/es` must send, as an Elasticsearch API key."
    )
    dropin_scripts: Literal["", "stored", "inline"] = Field(
        default="",
        description="Scripts that searches at `/es` may have: `stored`, or `inline` for any. Without it: none.",
    )
    dropin_patterns: int = Field(
        default=8, ge=0, description="Wildcards and regular expressions that a search at `/es` may have."
    )
    dropin_leading_wildcards: int = Field(
        default=4, ge=0, description="Of these, how many may begin with a wildcard and so visit every term."
    )
    dropin_proxy: bool = Field(
        default=False,
        description="Whether `/es` forwards what else a shop's client sends to Elasticsearch: on or off. "
        "[Drop-in](dropin.md) says what passes.",
    )
    dropin_proxy_indices: str = Field(
        default="",
        description="Indices that may be read and written through `/es`, comma-separated; `shop-*` is every name that "
        "begins with `shop-`. Without it: none.",
    )
    dropin_proxy_key: SecretStr | None = Field(
        default=None,
        description="Key that callers of `/es` must send where it forwards; searches take `HYBRID_DROPIN_KEY` as well. "
        "Without it, Elasticsearch itself must ask for credentials, and callers send those.",
    )
    dropin_proxy_bulk_mb: int = Field(
        default=14,
        ge=1,
        le=100,
        description="MB that a `_bulk` which `/es` forwards may have, unpacked too. Memory has to hold it three times.",
    )
    dropin_proxy_language: str = Field(
        default="en",
        description="Language of the words of an index that is made through `/es`, such as de or zh.",
    )
    dropin_proxy_map: str = Field(
        default="",
        description="Fields of an index that is made through `/es`, as `hybrid attach --map` takes them: "
        "`title=name,description=text`. Of the other roles, the names of the fields tell.",
    )
    cors_origins: str = Field(
        default="",
        description="Web sites whose pages may call `/es` and `/api`, comma-separated, each as `https://shop.example`. "
        "Without it: none.",
    )
    trusted_proxies: int = Field(
        default=0, ge=0, le=5, description="Reverse proxies before the web server whose `X-Forwarded-*` headers hold."
    )

    admin_secret: SecretStr | None = Field(
        default=None, description="Key that signs the admin page's cookies. Without it: one that the cluster keeps."
    )
    admin_idle_min: int = Field(default=60, ge=1, description="Minutes without a request until an admin is signed out.")
    admin_session_h: int = Field(default=12, ge=1, description="Hours until an admin must sign in again.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = Path(os.environ.get("HYBRID_CONFIG", "hybrid.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=toml)


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        UsageError: a setting has a value that cannot be used; names the setting.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {name}: {first['msg']} (HYBRID_{name.upper()} or hybrid.toml)") from error
