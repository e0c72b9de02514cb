"""Where Apache Kafka is, and who we are to it: one value that every client is made with."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ingest.errors import Unavailable

Security = Literal["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL"]

MECHANISM: Final = "SCRAM-SHA-512"

_SETTING: Final = "what PLATETRAIL_KAFKA_BOOTSTRAP names"
_ADDRESS: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The brokers (`host:port`, comma-separated), how they are spoken to, and by whom.

    With `SASL_SSL` their certificates must be signed by an authority in `ca_file` (PEM), or, without one, by one that
    this machine trusts. The password is in no representation of the value.
    """

    bootstrap: str
    security: Security = "PLAINTEXT"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(cls, given: "Broker | str") -> "Broker":
        """Return the value; a bare `host:port` is a broker without authentication."""
        return given if isinstance(given, Broker) else cls(bootstrap=given)

    def options(self) -> dict[str, Any]:
        """Return what an aiokafka client takes. Raises OSError or ssl.SSLError if the CA file can't be used."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security}
        if self.security == "PLAINTEXT":
            return options
        return {
            **options,
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
            "ssl_context": self.ssl_context(),
        }

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what TLS connections are made with; None if none are. Raises as `options` does."""
        return ssl.create_default_context(cafile=self.ca_file) if self.security == "SASL_SSL" else None

    def where(self) -> str:
        """Return each `host:port`, and nothing of what is none: somebody may have written a user and password there."""
        parts = self.bootstrap.rpartition("@")[2].split(",")
        return ", ".join(part.strip() for part in parts if _ADDRESS.fullmatch(part.strip())) or _SETTING

    def unreachable(self, error: Exception) -> Unavailable:
        """Return the error for a broker that does not let us in, with where it was looked for and what that may mean.

        A client is told of a wrong password by a closed connection: it can't tell it from a broker that is down.
        """
        text = f"no broker at {self.where()}: {type(error).__name__}"
        if self.security != "PLAINTEXT":
            text += "; a wrong user or password looks the same from here"
        if self.security == "SASL_SSL":
            text += ", and so does a certificate that the CA file does not vouch for"
        return Unavailable(text)
