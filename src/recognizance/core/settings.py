"""Settings: one frozen object, from defaults, a file, the environment and the command line, in that order.

``recognizance config show`` prints each value and where it came from. Nothing else reads the environment.
"""

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from recognizance.core.errors import SetupError

CONFIG_FILE = "recognizance.toml"
ENV_PREFIX = "RECOGNIZANCE_"

Origin = Literal["default", "file", "environment", "argument"]
"""Where a setting's value came from; each wins over those before it."""


class Settings(BaseSettings):
    """Every setting, with its default. In the environment each is ``RECOGNIZANCE_`` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid", validate_default=True)

    data: Path = Field(
        default_factory=lambda: user_data_path("recognizance"),
        description="Folder of the database, the key file and the configuration file.",
    )
    models: Path = Field(
        default_factory=lambda: user_cache_path("recognizance") / "models",
        description="Folder of the installed model files; shared by every data folder of this user.",
    )
    model_mirror: Path | None = Field(
        default=None, description="Folder that is tried first for model files, for sites without a network."
    )
    accepted_terms: tuple[str, ...] = Field(
        default=(), description="Names of models whose restrictive terms the operator has accepted."
    )
    database_url: str | None = Field(
        default=None,
        description="URL of the database, sqlite:////folder/file.db or postgresql://user:password@host/name; by "
        "default SQLite in the data folder.",
    )
    exact_faces: int = Field(
        default=50_000,
        ge=1,
        description="Faces up to which a collection is searched by comparing every one of them; larger ones are "
        "searched by compact codes.",
    )
    exact_searches: bool = Field(
        default=False,
        description="Whether every search compares every face, however many there are: slow, for audits.",
    )
    checked_searches: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of searches that are repeated exactly in the background, to measure how many matches the "
        "ordinary search finds; see /metrics.",
    )
    contract: Literal["auto", "core", "standard"] = Field(
        default="auto", description="Model contract of new collections; auto takes the best one installed."
    )
    account_id: str = Field(
        default="123456789012",
        pattern=r"^\d{12}$",
        description="Twelve-digit account id that appears in ARNs.",
    )
    region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9-]+$",
        description="Region that clients sign for and ARNs show.",
    )
    runtime: Literal["auto", "openvino", "onnxruntime"] = Field(
        default="auto", description="What runs the networks; auto takes OpenVINO where it is installed."
    )
    precision: Literal["auto", "bf16", "f32"] = Field(
        default="auto", description="Arithmetic of the networks; auto takes bf16 where the CPU has AMX."
    )
    threads: int = Field(default=0, ge=0, description="Threads that run networks; 0 takes every core.")
    streams: int = Field(
        default=1,
        ge=0,
        description="Pictures that run through a network side by side, sharing the threads: 1 answers a lone request "
        "soonest, 0 takes one for each thread and does most pictures a second.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8111, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1024, description="Largest request body that is read, in bytes."
    )
    body_timeout_seconds: float = Field(
        default=30.0, gt=0, description="How long a client may take to send its request body."
    )
    max_buffered_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024,
        description="Request bodies held at once, in bytes, and never less than one of `max_body_bytes`: those "
        "arriving, waiting and worked on.",
    )
    max_connections: int = Field(
        default=512, ge=1, description="Open connections; for a further one, that which idles longest is closed."
    )
    max_concurrent_requests: int = Field(
        default=0, ge=0, description="Requests worked on at once; 0 takes eight for each core, at least 16."
    )
    max_waiting_requests: int = Field(
        default=128, ge=0, description="Requests that wait for their turn; more are asked to try again."
    )
    queue_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a request waits for its turn before it is asked to try again: less than clients wait.",
    )
    max_remote_waits: int = Field(
        default=64,
        ge=1,
        description="Requests that wait for the S3 store at once, and as many for Milvus, beside those worked on; more "
        "are asked to try again.",
    )
    requests_per_second: float = Field(
        default=0.0, ge=0, description="Requests a second of each access key; 0 sets no limit."
    )
    request_burst: int = Field(
        default=20, ge=1, description="Requests that an access key may make at once where requests_per_second is set."
    )
    s3_endpoint_url: str | None = Field(
        default=None, description="Endpoint of the S3-compatible store that S3Object members are read from."
    )
    s3_region: str | None = Field(default=None, description="Region of the S3 store.")
    s3_access_key_id: str | None = Field(default=None, description="Access key of the S3 store.")
    s3_secret_access_key: SecretStr | None = Field(default=None, description="Secret key of the S3 store.")
    buckets_folder: Path | None = Field(
        default=None, description="Local folder whose sub-folders serve as buckets, instead of an S3 store."
    )
    milvus_url: str | None = Field(
        default=None,
        description="URL of a Milvus server, such as http://milvus:19530, that keeps and searches the vectors; without "
        "it this process does.",
    )
    milvus_token: SecretStr | None = Field(
        default=None, description="Milvus's access token: user:password, or an API key."
    )
    milvus_database: str = Field(default="default", description="Milvus database to use; it must exist.")
    milvus_prefix: str = Field(
        default="recognizance",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$",
        description="What the names of the Milvus collections begin with.",
    )
    milvus_index: Literal["FLAT", "HNSW", "IVF_SQ8", "DISKANN", "AUTOINDEX"] = Field(
        default="FLAT",
        description="Type of Milvus index: FLAT compares every vector and misses nothing, the others are faster or "
        "smaller and may miss matches.",
    )
    milvus_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long a call to Milvus may take before the request fails."
    )
    lease_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long work that a process has taken stays its own unless it says that it lives; others then "
        "take over what a dead one had.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of the log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least log level.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come as keywords; read no ``.env``."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def resolved_database_url(self) -> str:
        """The database's URL: the setting, or SQLite in the data folder."""
        if self.database_url:
            return self.database_url
        from sqlalchemy import URL  # knows which characters of a path mean something else in a URL

        return URL.create("sqlite", database=str(self.data / "recognizance.db")).render_as_string()


def _file_values(data: Path) -> dict[str, Any]:
    path = data / CONFIG_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}. Run the command as the user that the data folder belongs to, or "
            "name another one with --data."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is not valid TOML: {error}") from error


class _Arguments(Settings):
    """Settings from the command line alone: checked like the others, and deaf to the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments only."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(**arguments: Any) -> Settings:  # noqa: ANN401 - one value of each setting's own type
    """Build the settings from the file in the data folder, the environment and the given arguments.

    Args:
        **arguments: Settings given on the command line; ``None`` means not given. They win over everything.

    Raises:
        SetupError: A file that is not TOML, an unknown setting, or a value out of range, named.
    """
    return load_settings_and_origins(**arguments)[0]


def load_settings_and_origins(**arguments: Any) -> tuple[Settings, dict[str, Origin]]:  # noqa: ANN401 - as above
    """Build the settings as :func:`load_settings` does, and tell for each by name where its value came from."""
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        data = given.get("data") or Settings().data
        file = _file_values(Path(data))
        settings = Settings(**(file | {"data": data}))
        checked = _Arguments(**given)
        settings = settings.model_copy(update={name: getattr(checked, name) for name in given})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SetupError("Settings are wrong. " + "; ".join(lines)) from error
    origins: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    origins.update(dict.fromkeys(file.keys() - {"data"}, "file"))
    origins.update(dict.fromkeys(EnvSettingsSource(Settings)(), "environment"))
    origins.update(dict.fromkeys(given, "argument"))
    return settings, origins


def unknown_variables() -> list[str]:
    """Return the names of environment variables that look like settings and are none: mostly slips of the pen."""
    known = {(ENV_PREFIX + name).upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which another process of this program runs under these settings, and no others.

    Beside the settings it is this process's own environment. A setting without a value is left out.
    """
    passed_on = {name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)}
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return passed_on | {
        (ENV_PREFIX + name).upper(): _as_variable(value) for name, value in values.items() if value is not None
    }


def _as_variable(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple) else str(value)
