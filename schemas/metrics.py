"""Every metric's name, once. Labels are members of closed lists: no plate, key, person, camera or case."""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A counter or gauge as Prometheus sees it; the three are the first arguments of prometheus_client's classes."""

    name: str
    says: str
    labels: tuple[str, ...] = ()


GATEWAY_ITEMS: Final = Metric(
    "platetrail_gateway_items_total",
    "Items that cameras pushed, by format, by what became of them (accepted, dropped, rejected) and by reason.",
    ("format", "status", "reason"),
)
GATEWAY_REFUSED: Final = Metric(
    "platetrail_gateway_refused_total",
    "Requests that were refused before their body was read, by reason: nobody's key, a wrong key or proof, a camera "
    "that is retired or outside its active period.",
    ("reason",),
)
MATCHER_READS: Final = Metric(
    "platetrail_matcher_reads_total",
    "Reads of cameras with ephemeral handling: matched, discarded (no wanted plate), late (not looked at: past their"
    " time), unusable, expired (gone from the topic before they were read). Late and expired reads are lost.",
    ("outcome",),
)
GATEWAY_LIMITED: Final = Metric(
    "platetrail_gateway_limited_total",
    "Requests of cameras that sent more than one camera may, by what there was too much of: requests, items, bytes.",
    ("reason",),
)
GATEWAY_PICTURES: Final = Metric(
    "platetrail_gateway_pictures_total",
    "Pictures of plates that came with reads, by what became of them: kept, or why not.",
    ("fate",),
)
GATEWAY_HEALTH_REPORTS: Final = Metric(
    "platetrail_gateway_health_reports_total",
    "Reports on all cameras together, by what became of each attempt: sent, waiting (tried again), refused (lost).",
    ("outcome",),
)
INBOX_ITEMS: Final = Metric(
    "platetrail_inbox_items_total",
    "Items that camera networks wrote into their topics, by network, by what became of them and by reason.",
    ("network", "status", "reason"),
)
INBOX_LOST: Final = Metric(
    "platetrail_inbox_lost_records_total",
    "Records that expired in a camera network's topic before they were read.",
    ("network",),
)
INBOX_UNREAD: Final = Metric(
    "platetrail_inbox_unread_records",
    "Records in a camera network's topic that are not worked off yet.",
    ("network",),
)
INBOX_OLDEST_SECONDS: Final = Metric(
    "platetrail_inbox_oldest_unread_seconds",
    "Age of the oldest of these; 0 if there is none.",
    ("network",),
)
GATEWAY_HELD_BYTES: Final = Metric(
    "platetrail_gateway_held_bytes",
    "Bytes of bodies, and of what was made of them, that the gateway holds at this moment.",
)
DEADLETTERS_JUDGED: Final = Metric(
    "platetrail_deadletters_judged_total",
    "Dead letters that operators wanted to put back on the stream, by reason and by what became of them.",
    ("reason", "result"),
)
