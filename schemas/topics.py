"""The only place that names a topic. Each is a file in `topics/`: key, partitions, retention, writers and readers."""

from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

import msgspec

Cleanup = Literal["delete", "compact", "compact,delete"]

Holds = Literal["plates", "numbers", "registry"]
"""What may be read from a topic's records: of vehicles, of cameras by count, of cameras as they are registered."""


class Deletion(NamedTuple):
    """When brokers delete what is past its retention: their configuration, in milliseconds; of several, the longest.

    They look at topics with `delete` alone every `log.retention.check.interval.ms`, at compacted ones with `delete`
    after each pause of the cleaner (`log.cleaner.backoff.ms`), and remove a file `log.segment.delete.delay.ms` later.
    """

    check_interval_ms: int
    cleaner_backoff_ms: int
    delete_delay_ms: int


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic as its file in `schemas/topics/` states it. Times in milliseconds; retention -1 keeps for good.

    `delete_delay_ms` is how long a file stays on the disk after its records are gone for every reader; without it, as
    long as the broker's own configuration says. `compression` is how the broker keeps batches: as their producer packed
    them, or unpacked.
    """

    topic: str
    says: str
    key: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int
    segment_ms: int
    delete_delay_ms: int | None = None
    holds: Holds
    at_most_ms: int
    max_message_bytes: int
    compression: Literal["producer", "uncompressed"] = "producer"
    value: str
    versions: tuple[int, ...]
    compatibility: Literal["backward"]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    def configs(self) -> dict[str, str]:
        """Return the broker's configuration of this topic.

        Records are stamped with the time of appending: with the producer's time a record that claims to be old or new
        would outlive, or undercut, its retention.
        """
        delay = {} if self.delete_delay_ms is None else {"file.delete.delay.ms": str(self.delete_delay_ms)}
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "segment.ms": str(self.segment_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "compression.type": self.compression,
            "message.timestamp.type": "LogAppendTime",
            **delay,
        }

    def longest_ms(self, deletion: Deletion) -> int | None:
        """Return how long after it was appended a record can be on a broker's disk, at the worst; None: for good.

        A record goes with the last one of its segment, once that is past its retention and a broker has looked, and the
        file some time later. A broker that is down deletes nothing; that is in no sum.
        """
        if self.retention_ms < 0 or "delete" not in self.cleanup:
            return None
        delay_ms = deletion.delete_delay_ms if self.delete_delay_ms is None else self.delete_delay_ms
        look_ms = deletion.check_interval_ms if self.cleanup == "delete" else deletion.cleaner_backoff_ms
        return self.retention_ms + self.segment_ms + look_ms + delay_ms

    def limit_ms(self, shortest_owner_ms: int) -> int | None:
        """Return the shortest rule that applies, given the shortest retention of all owners; None if none does."""
        rules = [self.at_most_ms] if self.at_most_ms >= 0 else []
        return min(rules + [shortest_owner_ms] * (self.holds == "plates"), default=None)


DETECTIONS: Final = "detections"
SIGHTINGS: Final = "sightings"
CAMERAS: Final = "cameras"
DEAD_LETTERS: Final = "dead-letters"
EPHEMERAL: Final = "ephemeral"
CAMERA_HEALTH: Final = "camera-health"

ALL: Final = (DETECTIONS, SIGHTINGS, CAMERAS, DEAD_LETTERS, EPHEMERAL, CAMERA_HEALTH)

INBOX: Final = "inbox"

FAMILIES: Final = (INBOX,)
"""Topics of which there are many, one a member: `inbox.<network>`."""

INTERNAL: Final = {
    "__consumer_offsets": "groups, and how far each has read or written: numbers (schemas/offsets.py)",
    "__transaction_state": "transactional ids and the partitions that their transactions touch",
    "__share_group_state": "made for share groups, which nobody here uses",
}
"""Topics that brokers make for themselves, and what is in them: no key or value of anybody's record."""


def inbox(network: str) -> str:
    """Return the name of the topic into which a camera network writes."""
    return f"{INBOX}.{network}"


@cache
def load(name: str) -> Topic:
    """Return a topic's file as a value; a family's file for each of its members.

    Raises msgspec.ValidationError if the file is not of its shape.
    """
    family, dot, _ = name.partition(".")
    text = (resources.files("schemas") / "topics" / f"{family}.yaml").read_bytes()
    topic = msgspec.yaml.decode(text, type=Topic)
    return msgspec.structs.replace(topic, topic=name) if dot and family in FAMILIES else topic
