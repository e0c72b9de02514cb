"""An Apache Kafka that asks who you are: SCRAM over plain text and over TLS, and access control lists."""

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingest.adapters.broker import Broker
from services.demo import kafka as kafka_starter
from services.demo.kafka import Kafka
from services.demo.process import free_port
from tests.support.wait import until_async

ADMIN = "admin"
LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required"


class Secured(NamedTuple):
    """The broker, its administrator (a super user), and the same one over TLS."""

    kafka: Kafka
    admin: Broker
    admin_tls: Broker

    def broker(self, user: str, password: str) -> Broker:
        """Return the broker as a user sees it."""
        return Broker(bootstrap=self.admin.bootstrap, security="SASL_PLAINTEXT", user=user, password=password)


Right = tuple[ResourceType, str, AclOperation]
"""What a user may do: with the topics, or the groups, whose name begins so."""


def let(secured: Secured, user: str, *rights: Right) -> Broker:
    """Make a user with these rights, or give it more; return the broker as it sees it."""
    word = secrets.token_urlsafe(16)
    client = _client(secured)
    for future in client.create_acls([AclBinding(*_acl(user, right)) for right in rights]).values() if rights else ():
        future.result(30)
    kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    upsertion = UserScramCredentialUpsertion(user, kind, word.encode())
    for future in client.alter_user_scram_credentials([upsertion]).values():
        future.result(30)
    return secured.broker(user, word)


def take_back(secured: Secured, user: str, right: Right) -> None:
    """Take a right from a user that has it."""
    client = _client(secured)  # its futures end with it
    [future] = client.delete_acls([AclBindingFilter(*_acl(user, right))]).values()
    assert len(future.result(30)) == 1


def _client(secured: Secured) -> AdminClient:
    options = {"bootstrap.servers": secured.admin.bootstrap, "security.protocol": "SASL_PLAINTEXT"}
    options |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": ADMIN, "sasl.password": secured.admin.password}
    return AdminClient(options)


def _acl(user: str, right: Right) -> tuple[Any, ...]:
    of, name, may = right
    return of, name, ResourcePatternType.PREFIXED, f"User:{user}", "*", may, AclPermissionType.ALLOW


async def let_in(broker: Broker) -> Broker:
    """Wait until a user that was just made is known to the broker, and so its rights, which were made before it."""

    async def known() -> bool:
        admin = AIOKafkaAdminClient(**broker.options())
        try:
            await admin.start()
        except KafkaConnectionError:
            return False
        finally:
            await admin.close()
        return True

    await until_async(known, "the broker knows the user")
    return broker


def settings_of(broker: Broker, folder: Path) -> dict[str, Any]:
    """Return the settings of a service that is a broker's user; its password is written into a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{broker.user}.password"
    file.write_text(broker.password)
    return {
        "kafka_bootstrap": broker.bootstrap,
        "kafka_security": broker.security,
        "kafka_user": broker.user,
        "kafka_password_file": file,
        "kafka_ca_file": broker.ca_file,
    }


def start(folder: Path) -> Secured:
    """Start one: the caller stops it. Records past their retention go within a second."""
    folder.mkdir(parents=True, exist_ok=True)
    word, tls_port, ca_file, store = secrets.token_urlsafe(16), free_port(), folder / "ca.pem", folder / "broker.pem"
    _make_certificates(ca_file, store)
    # The controller's listener is on loopback, and nobody proves anything to it: in tests only.
    port, names = free_port(), "SASL:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT"
    kafka = kafka_starter.start(
        folder / "kafka",
        port=port,
        users={ADMIN: word},
        extra={
            "listeners": f"SASL://127.0.0.1:{port},TLS://127.0.0.1:{tls_port},CONTROLLER://127.0.0.1:${{controller_port}}",
            "advertised.listeners": f"SASL://127.0.0.1:{port},TLS://127.0.0.1:{tls_port}",
            "listener.security.protocol.map": names,
            "inter.broker.listener.name": "SASL",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f'{LOGIN} username="{ADMIN}" password="{word}";',
            "listener.name.tls.scram-sha-512.sasl.jaas.config": f"{LOGIN};",
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(store),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
            "log.retention.check.interval.ms": "500",
            "log.initial.task.delay.ms": "500",
        },
    )
    admin = Broker(bootstrap=kafka.bootstrap, security="SASL_PLAINTEXT", user=ADMIN, password=word)
    tls = Broker(bootstrap=f"127.0.0.1:{tls_port}", security="SASL_SSL", user=ADMIN, password=word, ca_file=ca_file)
    return Secured(kafka, admin, tls)


def _make_certificates(ca_file: Path, store: Path) -> None:
    """Write an authority's certificate, and the broker's key with the certificate that it signed."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("Test authority"), _name("127.0.0.1")
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    own = (
        _certificate(name, ca_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(ca.public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    store.write_bytes(plain + own.public_bytes(pem))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
    )
