"""What a worker tells of itself, as Prometheus and whoever asks /readyz see it."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.ports import Message, Observer, Place, Step, Trace
from schemas import metrics
from schemas.deadletters import Reason
from services.observe.tracing import Consumers

ANSWERS_WITHIN_S: Final = 5.0
"""A broker that has not answered for longer than this does not say that there is nothing to read."""

Check = Callable[[], Awaitable[bool]]


class Pulse:
    """When something last went on as it should."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin now."""
        self._clock = clock
        self._at = clock()

    def beat(self) -> None:
        """Note that it goes on."""
        self._at = self._clock()

    def age_s(self) -> float:
        """Return how long ago that was."""
        return self._clock() - self._at


class Families:
    """The metrics of workers, each with the label `stage`."""

    def __init__(self) -> None:
        """Begin without any stage."""
        self.collected = CollectorRegistry()
        self.records = Counter(*metrics.WORKER_RECORDS, registry=self.collected)
        self.letters = Counter(*metrics.WORKER_LETTERS, registry=self.collected)
        self.steps = Histogram(
            *metrics.WORKER_STEP_SECONDS, buckets=metrics.WORKER_STEP_BUCKETS, registry=self.collected
        )
        self.batch = Histogram(
            *metrics.WORKER_BATCH_RECORDS, buckets=metrics.WORKER_BATCH_BUCKETS, registry=self.collected
        )
        self.lag = Gauge(*metrics.WORKER_LAG, registry=self.collected)
        self.expired = Counter(*metrics.WORKER_EXPIRED, registry=self.collected)
        self.refused = Counter(*metrics.WORKER_REFUSED, registry=self.collected)
        self.outages = Counter(*metrics.WORKER_OUTAGES, registry=self.collected)
        self.waiting = Gauge(*metrics.WORKER_WAITING, registry=self.collected)
        self.age = Gauge(*metrics.WORKER_COMMIT_AGE_SECONDS, registry=self.collected)


class Measures(Observer):
    """The metrics of one worker, and whether it gets on.

    Everything is counted by batch, so that what it costs does not depend on how many reads there are.
    """

    def __init__(
        self,
        stage: str,
        *,
        consumers: Consumers | None = None,
        families: "Families | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at nought; `stage` is the value of that label. Traces go on in `consumers`, or nowhere.

        Several workers in one process share `families`, and are shown together.
        """
        found = families or Families()
        self._consumers = consumers
        self.collected = found.collected
        self.pulse = Pulse(clock)
        self._stage = stage
        self._joined = False
        self._outages = 0
        self._under_way = 0
        self._places: set[Place] = set()
        self._records, self._letters, self._steps, self._lag = found.records, found.letters, found.steps, found.lag
        self._batch = found.batch.labels(stage)
        self._expired = found.expired.labels(stage)
        self._refused = found.refused.labels(stage)
        self._outages_begun = found.outages.labels(stage)
        self._waiting = found.waiting.labels(stage)
        found.age.labels(stage).set_function(self.pulse.age_s)

    def joined(self) -> None:
        """Note that partitions were assigned and messages are awaited: say so in the log, too."""
        self.assigned()
        structlog.get_logger().info("ready")

    def assigned(self) -> None:
        """Note that partitions were assigned and messages are awaited."""
        self._joined = True
        self.pulse.beat()

    def readiness(self, within_s: float, *checks: Check) -> Check:
        """Return what tells whether the worker works.

        It does if it has partitions, waits for no part, has committed a batch (or had none, by the broker's word)
        within so many seconds, and all checks hold.
        """

        async def ready() -> bool:
            if not self._joined or self._outages or self.pulse.age_s() > within_s:
                return False
            for check in checks:  # one after the other: the first that fails says enough
                if not await check():
                    return False
            return True

        return ready

    def fetched(self, records: int) -> None:
        """See `Observer.fetched`."""
        self._under_way += 1
        self._count("fetched", records)
        if records:
            self._batch.observe(records)

    def empty(self, unanswered_s: float) -> None:
        """See `Observer.empty`. While a batch is under way it says nothing of how the worker gets on."""
        if not self._under_way and unanswered_s < ANSWERS_WITHIN_S:
            self.pulse.beat()

    def traced(self, messages: Sequence[Message]) -> Mapping[int, Trace]:
        """See `Observer.traced`."""
        return self._consumers.traced(messages) if self._consumers is not None else {}

    def took(self, step: Step, seconds: float) -> None:
        """See `Observer.took`."""
        self._steps.labels(self._stage, step).observe(seconds)

    def finished(self, *, committed: bool) -> None:
        """See `Observer.finished`."""
        self._under_way -= 1
        if committed:
            self.pulse.beat()
        else:
            self._refused.inc()

    def made(self, *, written: int, dropped: int, again: int, letters: Mapping[Reason, int]) -> None:
        """See `Observer.made`."""
        self._count("written", written)
        self._count("dropped", dropped)
        self._count("again", again)
        self._count("dead_letter", sum(letters.values()))
        for reason, number in letters.items():
            self._letters.labels(self._stage, reason).inc(number)

    def lag(self, behind: Mapping[Place, int]) -> None:
        """See `Observer.lag`."""
        for topic, partition in self._places - behind.keys():
            self._lag.remove(self._stage, topic, str(partition))
        self._places = set(behind)
        for (topic, partition), records in behind.items():
            self._lag.labels(self._stage, topic, str(partition)).set(records)

    def expired(self, records: int) -> None:
        """See `Observer.expired`."""
        self._expired.inc(records)

    def waiting(self, *, begun: bool) -> None:
        """See `Observer.waiting`."""
        self._outages += 1 if begun else -1
        self._waiting.set(bool(self._outages))
        if begun:
            self._outages_begun.inc()

    def _count(self, outcome: str, number: int) -> None:
        self._records.labels(self._stage, outcome).inc(number)
