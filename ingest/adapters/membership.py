"""What a client's errors mean to a member of a consumer group."""

from collections.abc import Sequence

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from ingest.adapters.broker import Broker
from ingest.errors import IngestError, Misconfigured, Unavailable


def not_joined(error: KafkaError, broker: Broker, topics: Sequence[str]) -> IngestError:
    """Return an error of ours for the one with which joining a group has ended."""
    match error:
        case KafkaConnectionError():
            return broker.unreachable(error)
        case InvalidSessionTimeoutError():
            return Misconfigured("the broker allows no session as long as PLATETRAIL_SESSION_TIMEOUT_S")
        case UnknownTopicOrPartitionError():  # after the client has waited for it
            return Unavailable(f"there is no topic {' or '.join(topics)} yet: the relay makes it")
    return refused(error, "refused as it joins")


def refused(error: KafkaError, what: str = "the broker has put this member out") -> IngestError:
    """Return an error of ours for one that ends a member; `what` has happened if another one has taken its name.

    The client knows no answer for that, and calls it unknown.
    """
    if isinstance(error, (TopicAuthorizationFailedError, GroupAuthorizationFailedError)):
        return Misconfigured(f"the broker lets this worker not read: {type(error).__name__}")
    if UnknownError.__name__ in f"{type(error).__name__} {error}":
        return Misconfigured(f"{what}: another worker has the same PLATETRAIL_INSTANCE")
    return Unavailable(f"the group cannot be worked in: {type(error).__name__}")
