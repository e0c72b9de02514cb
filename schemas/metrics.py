"""Every metric's name, once. Labels are members of closed lists: no plate, key, person, camera or case."""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A counter, gauge or histogram, as the first arguments of prometheus_client's classes. Times are in seconds."""

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
DEAD_LETTERS: Final = Metric(
    "platetrail_deadletters_total",
    "Dead letters since this run of `counting` began to read, by who set them aside and why. After a kill the last"
    " second's are counted again.",
    ("stage", "reason"),
)
DEAD_LETTERS_UNUSABLE: Final = Metric(
    "platetrail_deadletters_unusable_total",
    "Records of the topic of dead letters that are none, by why: undecodable, poisoned (counting itself failed).",
    ("reason",),
)
DEADLETTERS_JUDGED: Final = Metric(
    "platetrail_deadletters_judged_total",
    "Dead letters that operators wanted to put back on the stream, by reason and by what became of them.",
    ("reason", "result"),
)

WORKER_RECORDS: Final = Metric(
    "platetrail_worker_records_total",
    "Messages of a worker, by its stage and by what became of them: fetched, written, dropped (past retention, no trace"
    " kept), again (read again after a restart, written before), dead_letter. All but fetched are counted once they are"
    " committed. What is written of one message may be several records.",
    ("stage", "outcome"),
)
WORKER_LETTERS: Final = Metric(
    "platetrail_worker_dead_letters_total", "Dead letters that a worker wrote, by reason.", ("stage", "reason")
)
WORKER_EXPIRED: Final = Metric(
    "platetrail_worker_expired_unread_total",
    "Messages that the broker deleted before the worker had read them. They are lost: this must stay 0.",
    ("stage",),
)
WORKER_STEP_SECONDS: Final = Metric(
    "platetrail_worker_step_seconds",
    "How long a step of a batch took: fetch, decode, function, memory, write, letters, commit. Waiting for a part that"
    " is away is in it.",
    ("stage", "step"),
)
WORKER_STEP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
WORKER_BATCH_RECORDS: Final = Metric("platetrail_worker_batch_records", "Messages in a batch.", ("stage",))
WORKER_BATCH_BUCKETS: Final = (1, 10, 50, 100, 250, 500, 1000, 2000, 3000, 5000, 10_000)
WORKER_LAG: Final = Metric(
    "platetrail_worker_lag_records",
    "Messages that wait in a partition, as of the worker's last commit or empty fetch. Only whoever has the partition"
    " shows it.",
    ("stage", "topic", "partition"),
)
WORKER_COMMIT_AGE_SECONDS: Final = Metric(
    "platetrail_worker_commit_age_seconds",
    "Time since the worker last committed a batch, or had nothing to commit by the broker's word.",
    ("stage",),
)
WORKER_REFUSED: Final = Metric(
    "platetrail_worker_refused_batches_total",
    "Batches that were left to another worker, since it has their partitions now; it does them again.",
    ("stage",),
)
WORKER_OUTAGES: Final = Metric(
    "platetrail_worker_outages_total", "Times that a worker began to wait for a part: broker or database.", ("stage",)
)
WORKER_WAITING: Final = Metric(
    "platetrail_worker_waiting", "1 while a worker waits for a part that is away, else 0.", ("stage",)
)
RELAY_RECORDS: Final = Metric(
    "platetrail_relay_records_total", "Changes of the camera registry that were carried from the outbox to the stream."
)
RELAY_AGE_SECONDS: Final = Metric(
    "platetrail_relay_age_seconds", "Time since the relay last emptied the outbox, or found it empty."
)
MAINTAIN_ROUNDS: Final = Metric(
    "platetrail_maintain_rounds_total", "Rounds of upkeep, by outcome: done or failed.", ("outcome",)
)
MAINTAIN_DID: Final = Metric(
    "platetrail_maintain_did_total",
    "What the rounds did: days made and dropped, reads that went with dropped days or were purged, claims forgotten.",
    ("what",),
)
MAINTAIN_AGE_SECONDS: Final = Metric(
    "platetrail_maintain_round_age_seconds", "Time since the last round of upkeep that was done."
)
