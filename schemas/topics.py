"""The only place that names a topic. Each is a file in `topics/`: key, partitions, retention, writers and readers."""

from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec

Cleanup = Literal["delete", "compact", "compact,delete"]


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
