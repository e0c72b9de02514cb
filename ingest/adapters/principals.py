"""Camera networks as users of Apache Kafka: a password (SCRAM), and the right to write into one topic and nothing else.

aiokafka's admin client makes neither users nor access control lists; confluent-kafka's does.
"""

import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaException
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
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from ingest.adapters.broker import MECHANISM, Broker
from ingest.errors import Misconfigured, Unavailable
from schemas import topics

TIMEOUT_S: Final = 20.0
ITERATIONS: Final = 8192
UNAUTHORISED: Final = frozenset({"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"})
WITHOUT_LISTS: Final = "SECURITY_DISABLED"


def principal(network: str) -> str:
    """Return the name of a network's user: never that of a service or an administrator."""
    return f"network-{network}"


class Principals:
    """The users of camera networks. Every method blocks, and raises Unavailable, or Misconfigured if it is refused."""

    def __init__(self, broker: Broker) -> None:
        """Know the broker, and an administrator of it; nothing is connected yet."""
        self._broker = broker
        self._admin = AdminClient(_options(broker), logger=_silent())

    def known(self) -> frozenset[str]:
        """Return the names of all users that have a password."""
        described = self._done(self._admin.describe_user_scram_credentials())
        return frozenset(described)

    def add(self, network: str) -> str:
        """Give a network the right to write into its inbox, and a new password, which is returned and kept nowhere.

        An older password of its own ends with it.
        """
        word = secrets.token_urlsafe(32)
        self._done_all(self._admin.create_acls([_right(network)]))
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        upsertion = UserScramCredentialUpsertion(principal(network), mechanism, word.encode())
        self._done_all(self._admin.alter_user_scram_credentials([upsertion]))
        return word

    def remove(self, network: str) -> None:
        """Take its password and every right of a network away. Its topic stays, and ages."""
        deletion = UserScramCredentialDeletion(principal(network), ScramMechanism.SCRAM_SHA_512)
        if principal(network) in self.known():
            self._done_all(self._admin.alter_user_scram_credentials([deletion]))
        self._done_all(self._admin.delete_acls([_all_of(network)]))

    def _done_all(self, futures: dict[Any, Any]) -> None:
        for future in futures.values():
            self._done(future)

    def _done(self, future: Any) -> Any:
        try:
            return future.result(TIMEOUT_S)
        except TimeoutError as error:  # so ends a wrong password, too
            raise self._broker.unreachable(error) from None
        except KafkaException as error:
            name = error.args[0].name()
            if name == WITHOUT_LISTS:
                says = "the broker keeps no access control lists: it has no authorizer (authorizer.class.name)"
                raise Misconfigured(f"{says}, see docs/operating.md") from None
            if name in UNAUTHORISED:
                raise Misconfigured(f"the broker refuses: {name}") from None
            if name.startswith("_"):  # a fault of the connection, as the client calls them
                raise self._broker.unreachable(error) from None
            raise Unavailable(f"the broker does not do it: {name}") from None


def _options(broker: Broker) -> dict[str, str]:
    options = {"bootstrap.servers": broker.bootstrap, "security.protocol": broker.security}
    if broker.security != "PLAINTEXT":
        word = {"sasl.mechanism": MECHANISM, "sasl.username": broker.user, "sasl.password": broker.password}
        options |= word
    if broker.ca_file is not None:
        options["ssl.ca.location"] = str(broker.ca_file)
    return options


def _right(network: str) -> AclBinding:
    """Return the one right of a network. To write includes to be told of the topic; nothing else is included."""
    return AclBinding(
        ResourceType.TOPIC,
        topics.inbox(network),
        ResourcePatternType.LITERAL,
        f"User:{principal(network)}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )


def _all_of(network: str) -> AclBindingFilter:
    any_resource, any_pattern = ResourceType.ANY, ResourcePatternType.ANY
    who = f"User:{principal(network)}"
    return AclBindingFilter(any_resource, None, any_pattern, who, None, AclOperation.ANY, AclPermissionType.ANY)


def _silent() -> Any:
    """Return a logger that says nothing: what went wrong is raised, and the client writes to standard error itself."""
    logger = logging.getLogger("platetrail.principals")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def networks(users: Iterable[str]) -> list[str]:
    """Return the networks among users."""
    return sorted(user.removeprefix("network-") for user in users if user.startswith("network-"))
