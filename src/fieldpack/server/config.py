"""Settings: one frozen object, read from `FIELDPACK_*` at start and checked before anything else runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import Field, FiniteFloat, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fieldpack.errors import ConfigError
from fieldpack.server.values.networks import Allowed, parse_allowed
from fieldpack.server.values.urls import is_web_url
from fieldpack.text import say_fault

__all__ = ["Settings", "load_settings"]

PREFIX = "FIELDPACK_"
STORAGE_SCHEMES = ("file", "s3", "gs", "az")
ROLES = ("owner", "editor", "reviewer", "analyst", "viewer")  # which `accounts` knows the meaning of
QUEUE_NAMES = ("exports", "parts", "maintenance", "hooks", "thumbnails", "conversions")


class Settings(BaseSettings):
    """What an operator can set. Every field is `FIELDPACK_<NAME>`; docs/operations.md lists them all."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("fieldpack-data"), description="Folder of the embedded database, files, keys and tokens."
    )
    database_url: str | None = Field(
        default=None, description="PostgreSQL to use instead of the embedded one (`postgresql://…`)."
    )
    database_owner_url: str | None = Field(
        default=None,
        description="The same PostgreSQL as the role that owns the schema, for migrations: that of"
        " `FIELDPACK_DATABASE_URL` then may only read and add to the audit log.",
    )
    storage_url: str | None = Field(
        default=None,
        description="Where files go: `file:///…` (default: in the data folder), `s3://`, `gs://`, `az://`.",
    )
    delivery: Literal["stream", "store"] = Field(
        default="stream",
        description="`stream`: this server sends archives; `store`: the bucket does, from a finished object.",
    )
    storage_link_endpoint: str | None = Field(
        default=None,
        description="Where clients reach the bucket, when it is not where this server does (`store`, `s3://`).",
    )
    public_url: str | None = Field(
        default=None, description="Origin that links begin with, e.g. `https://data.example.org`."
    )
    hsts_seconds: int = Field(
        default=0,
        ge=0,
        description="How long browsers are told to reach this host over https only (HSTS); 0 tells them nothing.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1,::1",
        description="Addresses whose `X-Forwarded-*` headers are believed; `*` for all.",
    )
    link_lifetime_seconds: int = Field(
        default=24 * 3600, ge=1, description="How long a download link is valid."
    )
    exports_kept: int = Field(
        default=50, ge=1, description="Exports kept for each collection; more only while their links work."
    )
    exports_kept_with_links: int = Field(
        default=500, ge=1, description="Exports kept for each collection at most, links that work or not."
    )
    exports_generating: int = Field(
        default=20,
        ge=1,
        description="Exports of one collection that are made at a time; the next waits its turn.",
    )
    export_max_age_days: FiniteFloat = Field(
        default=90, gt=0, description="Exports older than this, and with no valid link, are removed."
    )
    export_retries: int = Field(
        default=6, ge=0, description="How often an export is tried again after a passing fault."
    )
    worker_concurrency: int = Field(default=2, ge=1, le=64, description="Jobs one worker runs at a time.")
    worker_queues: str = Field(
        default=",".join(QUEUE_NAMES),
        description="Queues a worker takes jobs from: some of `exports`, `parts`, `maintenance`, `hooks`,"
        " `thumbnails`, `conversions`.",
    )
    archive_part_mb: int = Field(
        default=64,
        ge=5,
        le=5000,
        description="Size of the parts of a stored archive (`store` delivery), in MiB.",
    )
    max_body_kb: int = Field(default=4096, ge=1, description="Largest JSON body accepted, in KiB.")
    max_answers_kb: int = Field(
        default=4096,
        ge=1,
        description="Bytes that the answers of one submission may take together, in KiB of JSON.",
    )
    max_collection_pages: int = Field(default=500, ge=1, description="Pages that a collection may have.")
    max_collection_items: int = Field(
        default=2_000, ge=1, description="Page items that a collection may have, on all its pages."
    )
    max_options: int = Field(
        default=1_000, ge=1, description="Options, or units, that an instruction may have."
    )
    max_markup_characters: int = Field(
        default=200_000, ge=1, description="Characters of one text in HTML or Markdown."
    )
    max_collection_markup_characters: int = Field(
        default=500_000, ge=1, description="Characters of HTML and Markdown in a whole collection."
    )
    rate_per_address: int = Field(default=1000, ge=1, description="Requests per second from one address.")
    connections_per_address: int = Field(
        default=1000,
        ge=1,
        description="Connections from one address (IPv6: one /64) without an authenticated request yet.",
    )
    rate_per_submission: int = Field(default=100, ge=1, description="Requests per second for one submission.")
    max_submission_mb: int = Field(
        default=20_480, ge=1, description="Bytes that one submission may upload, in MiB."
    )
    max_study_mb: int = Field(default=10_485_760, ge=1, description="Bytes that one study may take, in MiB.")
    upload_abandoned_days: FiniteFloat = Field(
        default=7, gt=0, description="Unfinished uploads without a byte for this long are removed."
    )
    picture_unused_days: FiniteFloat = Field(
        default=7, gt=0, description="Uploaded pictures that no collection took for this long are removed."
    )
    thumbnail_file_mb: int = Field(
        default=512, ge=1, description="Files larger than this, in MiB, get no thumbnail."
    )
    thumbnail_megapixels: int = Field(
        default=120, ge=1, le=2000, description="Pictures and films of more million pixels get no thumbnail."
    )
    thumbnail_memory_mb: int = Field(
        default=1024, ge=256, description="Memory that making one file's thumbnails may take, in MiB."
    )
    thumbnail_seconds: int = Field(
        default=20,
        ge=1,
        le=120,
        description="Processor time that making one file's thumbnails may take; by the clock four times that.",
    )
    conversion_memory_mb: int = Field(
        default=2048, ge=512, description="Memory that converting one export may take, in MiB."
    )
    conversion_seconds: int = Field(
        default=900,
        ge=1,
        description="Processor time that converting one export may take; by the clock four times that.",
    )
    conversion_file_mb: int = Field(
        default=4096, ge=1, description="Largest file that an export is converted to, in MiB."
    )
    conversion_max_age_days: FiniteFloat = Field(
        default=7, gt=0, description="Converted files older than this, and with no valid link, are removed."
    )
    change_log_days: FiniteFloat = Field(
        default=30, gt=0, description="What happened, and which webhooks told of it, is forgotten after this."
    )
    hook_targets: str = Field(
        default="",
        description="Hosts, addresses and networks inside that webhooks may lead to, over http as well.",
    )
    orphan_hours: FiniteFloat = Field(
        default=24, gt=0, description="Stored objects no row refers to are removed when older than this."
    )
    reserve_mb: int = Field(
        default=64,
        ge=0,
        description="Disk space kept in the data folder for erasures on a full disk, in MiB; 0 for none.",
    )
    erasure_list: Path | None = Field(
        default=None,
        description="A file that the ids of erased submissions are written to as well, for restores; on another disk.",
    )
    hosted_issuer: str = Field(
        default="https://www.prolific.com",
        description="Who signs the hosted service's secured links: `iss` of a `prolific_token`.",
    )
    hosted_keys: str = Field(
        default="https://api.prolific.com/.well-known/study/jwks.json",
        description="The keys of these links: an https URL, or the path of a file, with a JSON Web Key Set.",
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID Connect provider that researchers may sign in at: its issuer URL."
    )
    oidc_client_id: str = Field(default="", description="What the provider calls this server.")
    oidc_client_secret: str | None = Field(
        default=None, description="The secret that the provider gave for it; none for a public client."
    )
    oidc_client_secret_file: Path | None = Field(
        default=None, description="A file that holds the secret, instead of the secret itself."
    )
    oidc_name: str = Field(
        default="", description="What the button calls the provider; without it the issuer's host."
    )
    oidc_scopes: str = Field(default="openid email profile", description="Scopes that are asked for.")
    oidc_groups_claim: str = Field(default="groups", description="Claim that lists somebody's groups.")
    oidc_roles: str = Field(
        default="{}",
        description='Roles of groups, as JSON: `{"lab-leads": "owner", "*": "viewer"}`; `*` is everybody.',
    )
    oidc_workspace: UUID | None = Field(
        default=None, description="Workspace in which groups give roles; without it the first one."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged."
    )

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host = urlsplit(value).hostname if is_web_url(value) else None
        if host is None or "?" in value or "#" in value:
            raise ValueError("must be the provider's issuer, such as https://login.example.org/realms/lab")
        if not value.startswith("https://") and host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("must begin with https://, unless the provider is on this machine")
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _roles(cls, value: str) -> str:
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError('must be JSON, such as {"lab-leads": "owner", "*": "viewer"}')
        if not all(role in ROLES for role in found.values()):
            raise ValueError(f"must give roles: {', '.join(ROLES)}")
        return value

    @field_validator("worker_queues")
    @classmethod
    def _queues(cls, value: str) -> str:
        found = [name.strip() for name in value.split(",") if name.strip()]
        unknown = [name for name in found if name not in QUEUE_NAMES]
        if unknown or not found:
            raise ValueError(f"must name some of {', '.join(QUEUE_NAMES)}, separated by commas")
        return ",".join(dict.fromkeys(found))

    @field_validator("hook_targets")
    @classmethod
    def _targets(cls, value: str) -> str:
        try:
            parse_allowed(value)
        except ValueError as error:
            raise ValueError(
                f"must list hosts, addresses and networks, separated by commas: {error}"
            ) from None
        return value

    @field_validator("public_url", "storage_link_endpoint")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_web_url(value) or not re.fullmatch("[^/]+//[^/?#]+/?", value):
            raise ValueError("must be an origin such as https://data.example.org, without a path")
        return value.removesuffix("/").lower()

    @field_validator("hosted_keys")
    @classmethod
    def _keys(cls, value: str) -> str:
        """From this machine plain http will do, which nobody on the way can change."""
        parts = urlsplit(value)
        if parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        ):
            return value
        if "://" in value or not value:
            raise ValueError("must be an https URL, or the path of a file")
        return str(Path(value).expanduser().absolute())

    @field_validator("storage_url")
    @classmethod
    def _storage(cls, value: str | None) -> str | None:
        try:
            scheme = urlsplit(value or "file:///").scheme
        except ValueError:
            scheme = ""
        if scheme not in STORAGE_SCHEMES:
            raise ValueError("must be a URL that begins with file://, s3://, gs:// or az://")
        return value

    @field_validator("data_dir", "erasure_list")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        scheme = urlsplit(self.resolved_storage_url).scheme
        if self.database_owner_url is not None and self.database_url is None:
            raise ValueError(
                "FIELDPACK_DATABASE_OWNER_URL means something only beside FIELDPACK_DATABASE_URL"
            )
        if self.delivery == "store" and scheme == "file":
            raise ValueError(
                "FIELDPACK_DELIVERY: `store` needs a bucket (FIELDPACK_STORAGE_URL s3://, gs:// or az://), not files"
            )
        if self.storage_link_endpoint and (self.delivery != "store" or scheme != "s3"):
            raise ValueError(
                "FIELDPACK_STORAGE_LINK_ENDPOINT means something only for `store` delivery from s3://"
            )
        return self

    @model_validator(mode="after")
    def _provider(self) -> Settings:
        if self.oidc_issuer is None:
            return self
        if not self.oidc_client_id:
            raise ValueError("FIELDPACK_OIDC_ISSUER needs FIELDPACK_OIDC_CLIENT_ID")
        if self.oidc_client_secret is not None and self.oidc_client_secret_file is not None:
            raise ValueError(
                "give FIELDPACK_OIDC_CLIENT_SECRET or FIELDPACK_OIDC_CLIENT_SECRET_FILE, not both"
            )
        if self.oidc_client_secret_file is not None and not self.oidc_client_secret_file.is_file():
            raise ValueError("FIELDPACK_OIDC_CLIENT_SECRET_FILE: there is no such file")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("FIELDPACK_OIDC_SCOPES must have openid among them")
        return self

    @property
    def oidc_groups(self) -> dict[str, str]:
        """The role that each group gives."""
        found: dict[str, str] = json.loads(self.oidc_roles)
        return found

    @property
    def oidc_secret(self) -> str | None:
        """The client's secret, wherever it is kept."""
        if self.oidc_client_secret_file is not None:
            return self.oidc_client_secret_file.read_text(encoding="utf-8").strip()
        return self.oidc_client_secret

    @property
    def oidc_label(self) -> str:
        """What the provider is called."""
        return self.oidc_name or urlsplit(self.oidc_issuer or "").hostname or ""

    @property
    def resolved_storage_url(self) -> str:
        """The storage URL in force; files in the data folder when none is set."""
        return self.storage_url or (self.data_dir / "storage").as_uri()

    @property
    def storage_folder(self) -> Path | None:
        """Where files really are, links followed; None in a bucket.

        Raises:
            ConfigError: the URL names no folder of this machine.
        """
        parts = urlsplit(self.resolved_storage_url)
        if parts.scheme != "file":
            return None
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigError(
                f"storage_url: {self.storage_url} is not a local folder; write file:///path/to/folder."
            )
        return Path(unquote(parts.path)).resolve()

    @property
    def storage_place(self) -> str:
        """Where files are, for people: the folder, or the bucket's URL."""
        return str(self.storage_folder or self.resolved_storage_url)

    @property
    def allowed_hook_targets(self) -> Allowed:
        """Where webhooks may lead to although it is inside."""
        return parse_allowed(self.hook_targets)

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request that is no upload, in bytes."""
        return self.max_body_kb * 1024

    @property
    def max_answers_bytes(self) -> int:
        """`max_answers_kb` in bytes."""
        return self.max_answers_kb * 1024


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` (None ones ignored) on top.

    Raises:
        ConfigError: an unknown `FIELDPACK_*` variable, or a value that is wrong or contradicts another.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise ConfigError(
                f"{name} is not a setting of fieldpack. See docs/operations.md for those there are."
            )
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else ""
        raise ConfigError(f"{name} {_wanted(first)}.".strip()) from None


def _wanted(error: Mapping[str, Any]) -> str:
    """What a setting must be, and what it is instead where that is no secret: only short words and numbers."""
    bounds = error.get("ctx", {})
    sentences = {
        "int": "must be a whole number",
        "float": "must be a number",
        "finite": "must be a number, not an endless one",
        "bool": "must be true or false",
        "greater_than_equal": f"must be at least {bounds.get('ge')}",
        "greater_than": f"must be more than {bounds.get('gt')}",
        "less_than_equal": f"must be at most {bounds.get('le')}",
        "less_than": f"must be less than {bounds.get('lt')}",
        "literal": f"must be {bounds.get('expected')}",
    }
    kind = str(error["type"])
    for beginning, sentence in sentences.items():
        if kind == beginning or (
            kind.startswith(f"{beginning}_") and not kind.startswith(f"{beginning}_than_")
        ):
            return f"{sentence}; it is {str(error['input'])[:40]!r}"
    return say_fault(str(error["msg"])).rstrip(".")
