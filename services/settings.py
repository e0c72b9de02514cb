"""Settings of every service: environment variables with the prefix `PLATETRAIL_`, read when a service is built."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import structlog
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ingest.adapters.broker import Broker, Security
from schemas import owners
from search.audit.errors import KeyFileError

if TYPE_CHECKING:
    from search.identity import Verifier

PREFIX = "PLATETRAIL_"

NO_RULES = "every owner shares with nobody but itself, and keeps its reads 30 days: PLATETRAIL_OWNERS_FILE is not set"

Value = TypeVar("Value")


class Missing(Exception):
    """A setting without which a service cannot start. The text names the variable, which its reader is to set."""

    def __init__(self, name: str) -> None:
        """Know the setting's name in `Settings`."""
        super().__init__(f"{PREFIX}{name.upper()} is not set")


class Unusable(Exception):
    """Settings that cannot be used. The text names each variable, and what it should be, but not what it is."""


class Settings(BaseSettings):
    """What one process needs to know. A field that a service does not use stays unset in its environment.

    `database_url` names the service's own role: no process is given another's password.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,  # a limit that is not a number would never be reached
    )

    environment: Literal["development", "production"] = "production"
    listen_host: str = "127.0.0.1"
    listen_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port")
    listen_socket: Path | None = Field(
        default=None,
        description="a Unix socket (0660) to listen on as well; what the gateway hears there of certificates counts",
    )
    listen_all: tuple[str, ...] = Field(
        default=(), description="every host that any service of this installation listens on"
    )
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security: Security = "PLAINTEXT"
    kafka_user: str = Field(default="", description="of the broker, for SCRAM-SHA-512")
    kafka_password_file: Path | None = None
    kafka_ca_file: Path | None = Field(default=None, description="whom a broker's certificate must be signed by (PEM)")
    database_url: str = ""
    instance: str = Field(
        default="1", description="names one worker among several of a kind: static membership uses it"
    )

    owners_file: Path | None = Field(default=None, description="owner -> agencies, purposes, days (JSON)")

    # Identity: RS256 or EdDSA tokens of one issuer; the key file holds its public key (PEM).
    token_issuer: str = "https://issuer.platetrail.example"  # noqa: S105 - a name, no secret
    token_audience: str = "platetrail"  # noqa: S105 - a name, no secret
    token_public_key_file: Path | None = None
    token_private_key_file: Path | None = Field(
        default=None, description="of the local issuer: `platetrail token` only"
    )

    # Audit: search holds the public half and the look-up key; auditing holds the private half.
    audit_public_key_file: Path | None = None
    audit_private_key_file: Path | None = None
    lookup_key_file: Path | None = None
    cursor_key_file: Path | None = None

    # Gateway.
    body_limit_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    batch_limit: int = Field(default=5000, ge=1)
    in_flight_limit_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="bodies held at once; beyond it 503")
    camera_in_flight_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1, description="of those, what one camera may hold; beyond it 429"
    )
    camera_requests_per_s: float = Field(default=50.0, gt=0, description="of one camera; beyond it 429")
    camera_requests_burst: int = Field(default=500, ge=1, description="requests that may come at once")
    camera_items_per_s: float = Field(default=2000.0, gt=0, description="of one camera; beyond it 429")
    camera_items_burst: int = Field(default=50_000, ge=1, description="items that may come at once")
    publish_timeout_s: float = Field(default=10.0, gt=0)
    future_limit_s: float = Field(default=300.0, ge=0)
    health_report_s: float = Field(
        default=10.0, ge=0.1, le=120.0, description="how often it reports what it counted of each camera"
    )
    signature_tolerance_s: float = Field(
        default=300.0, ge=0, description="how far from our clock the time of a vendor's signature may be"
    )
    proxy_secret_file: Path | None = Field(
        default=None, description="what a proxy that ends mutual TLS sends, so that its word on certificates counts"
    )

    # Gateway and maintain.
    crops_folder: Path | None = Field(
        default=None, description="where pictures of plates are kept until their reads expire; without it none is"
    )

    # Inbox.
    networks: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], ...] = Field(
        default=(), description="camera networks that write into topics of their own"
    )

    # Stages.
    batch_records: int = Field(default=5000, ge=1)
    session_timeout_s: float = Field(default=30.0, gt=0)
    outage_limit_s: float = Field(
        default=120.0, gt=0, description="how long broker or database may be gone before a worker ends"
    )
    stuck_after_s: float = Field(
        default=60.0, gt=0, description="a worker that has not got on for so long says that it is not ready"
    )
    failure_limit: int = Field(
        default=200, ge=1, description="with more unusable messages in a row than this, a worker ends"
    )
    failure_window: int = Field(
        default=1000, ge=1, description="with more than half of so many messages unusable, a worker ends"
    )

    drain_s: float = Field(
        default=30.0, gt=0, description="how long a worker that was told to end may take for the batches at hand"
    )

    # Enricher.
    enricher_transactions: bool = Field(
        default=False,
        description="no double in `sightings` even after a crash; costs a quarter of the throughput at most",
    )

    # Passes, of enricher and search alike.
    pass_window_s: float = Field(default=30.0, gt=0, description="how long one pass of a vehicle may take")

    # Trajectories.
    travel_min_distance_m: float = Field(default=300.0, ge=0)
    travel_position_tolerance_m: float = Field(default=100.0, ge=0)
    travel_max_speed_kmh: float = Field(default=250.0, gt=0)

    # Log and sweeper.
    abandoned_after_s: float = Field(default=300.0, gt=0)

    # Traces, of every service; with neither setting, OpenTelemetry's own OTEL_EXPORTER_OTLP_ENDPOINT counts.
    traces_endpoint: str = Field(
        default="", description="URL of an OpenTelemetry collector (OTLP over HTTP, with its path); none: no traces"
    )
    traces_sample: float = Field(default=0.01, ge=0, le=1, description="share of requests that are traced")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def broker(self) -> Broker:
        """Return where the broker is and who we are to it.

        Raises Missing if it wants to be told a user or password that is not set, OSError if a file can't be read.
        """
        if self.kafka_security == "PLAINTEXT":
            return Broker(bootstrap=self.kafka_bootstrap)
        password_file = needed(self.kafka_password_file, "kafka_password_file")
        return Broker(
            bootstrap=self.kafka_bootstrap,
            security=self.kafka_security,
            user=needed(self.kafka_user, "kafka_user"),
            password=needed(password_file.read_text(encoding="utf-8").strip(), "kafka_password_file"),
            ca_file=self.kafka_ca_file,
        )

    def owner_rules(self) -> owners.OwnerRules:
        """Return the owners' rules; without a file, those of owners who say nothing, and a warning in the log.

        Raises Unusable, naming the variable, for a file that cannot be used: a mistyped rule must stop a service at
        start. What it says is of the file's own words, which hold nothing secret.
        """
        if self.owners_file is None:
            structlog.get_logger().warning("no_owners_file", meaning=NO_RULES)
            return owners.OwnerRules()
        try:
            return owners.load(self.owners_file)
        except OSError as error:
            says = error.strerror or type(error).__name__
        except ValueError as error:  # msgspec's are, too
            says = str(error)
        raise Unusable(f"{PREFIX}OWNERS_FILE: {says}")

    def verifier(self) -> "Verifier":
        """Return what checks the tokens of those who ask, by their issuer's public key.

        Raises Missing if no key is set, and KeyFileError for a file that holds none.
        """
        from search.identity import Verifier  # here: workers check no tokens, and load nothing for it

        return key_of(
            self.token_public_key_file,
            "token_public_key_file",
            lambda file: Verifier(file.read_bytes(), issuer=self.token_issuer, audience=self.token_audience),
        )

    def is_loopback(self) -> bool:
        """Say whether every listener of the installation is a loopback address (127.0.0.0/8 or ::1)."""
        return all(_is_loopback(host) for host in (self.listen_host, *self.listen_all))


def settings() -> Settings:
    """Return the settings of this process's environment. Raises Unusable."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{PREFIX}{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise Unusable("; ".join(wrong)) from None
    except SettingsError as error:  # of what is no JSON: names the field, not what it holds
        raise Unusable(str(error)) from None


def needed(value: Value | None, name: str) -> Value:
    """Return a setting's value. Raises Missing, with the setting's name, if it is unset or empty."""
    if value is None or value in ("", ()):
        raise Missing(name)
    return value


def key_of(file: Path | None, name: str, read: Callable[[Path], Value]) -> Value:
    """Return what `read` makes of the key file that a setting names.

    Raises Missing if the setting is unset, and KeyFileError, naming the variable, for a file that `read` can't use.
    """
    try:
        return read(needed(file, name))
    except KeyFileError as error:
        says = str(error)
    except OSError:
        says = "not readable"
    except ValueError:
        says = "not a key of a kind that is taken"
    raise KeyFileError(f"{PREFIX}{name.upper()}: {says}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
