"""What a worker shows of itself, and when it says that it works."""

import math

import pytest
from prometheus_client import generate_latest

from schemas import metrics
from services.observe import Measures
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def measures(clock: Clock) -> Measures:
    return Measures("enricher", clock=clock)


def shown(measures: Measures, metric: metrics.Metric, suffix: str = "", **labels: str) -> float | None:
    return measures.collected.get_sample_value(metric.name + suffix, {"stage": "enricher", **labels})


def test_a_batch_is_counted_once_it_is_committed(measures: Measures) -> None:
    measures.fetched(10)
    assert shown(measures, metrics.WORKER_RECORDS, outcome="fetched") == 10
    measures.took("write", 0.02)
    measures.finished(committed=True)
    measures.made(written=5, dropped=1, again=1, letters={"poisoned": 2, "undecodable": 1})
    outcomes = {"written": 5, "dropped": 1, "again": 1, "dead_letter": 3}
    assert {one: shown(measures, metrics.WORKER_RECORDS, outcome=one) for one in outcomes} == outcomes
    assert shown(measures, metrics.WORKER_LETTERS, reason="poisoned") == 2
    assert shown(measures, metrics.WORKER_STEP_SECONDS, "_bucket", step="write", le="0.025") == 1
    assert shown(measures, metrics.WORKER_STEP_SECONDS, "_bucket", step="write", le="0.01") == 0
    assert shown(measures, metrics.WORKER_BATCH_RECORDS, "_sum") == 10


def test_a_partition_that_another_worker_has_is_no_longer_shown(measures: Measures) -> None:
    measures.lag({("detections", 0): 5, ("detections", 1): 7})
    measures.lag({("detections", 1): 3})
    assert shown(measures, metrics.WORKER_LAG, topic="detections", partition="0") is None
    assert shown(measures, metrics.WORKER_LAG, topic="detections", partition="1") == 3


def test_the_age_of_a_commit_grows_until_the_next_one(measures: Measures, clock: Clock) -> None:
    clock.now += 7
    assert shown(measures, metrics.WORKER_COMMIT_AGE_SECONDS) == 7
    measures.fetched(1)
    measures.finished(committed=False)
    assert shown(measures, metrics.WORKER_COMMIT_AGE_SECONDS) == 7
    assert shown(measures, metrics.WORKER_REFUSED) == 1
    measures.fetched(1)
    measures.finished(committed=True)
    assert shown(measures, metrics.WORKER_COMMIT_AGE_SECONDS) == 0


async def test_a_worker_is_ready_once_it_has_partitions_and_for_as_long_as_it_gets_on(
    measures: Measures, clock: Clock
) -> None:
    ready = measures.readiness(60)
    assert not await ready()
    measures.joined()
    assert await ready()
    clock.now += 61
    assert not await ready()
    measures.empty(0.1)
    assert await ready()


@pytest.mark.parametrize("unanswered_s", [6.0, math.inf])
async def test_a_broker_that_does_not_answer_says_not_that_there_is_nothing(
    measures: Measures, clock: Clock, unanswered_s: float
) -> None:
    measures.joined()
    clock.now += 61
    measures.empty(unanswered_s)
    assert not await measures.readiness(60)()


async def test_that_nothing_more_comes_does_not_hide_a_batch_that_is_stuck(measures: Measures, clock: Clock) -> None:
    ready = measures.readiness(60)
    measures.joined()
    measures.fetched(1)
    measures.fetched(1)
    measures.finished(committed=True)
    clock.now += 61
    measures.empty(0.1)
    assert not await ready()
    measures.finished(committed=True)
    assert await ready()


async def test_a_worker_that_waits_for_a_part_is_not_ready(measures: Measures) -> None:
    ready = measures.readiness(60)
    measures.joined()
    measures.waiting(begun=True)
    measures.waiting(begun=True)
    measures.waiting(begun=False)
    assert not await ready()
    assert shown(measures, metrics.WORKER_WAITING) == 1
    measures.waiting(begun=False)
    assert await ready()
    assert shown(measures, metrics.WORKER_WAITING) == 0
    assert shown(measures, metrics.WORKER_OUTAGES) == 2


async def test_a_worker_whose_part_does_not_answer_is_not_ready(measures: Measures) -> None:
    measures.joined()

    async def answers() -> bool:
        return False

    assert not await measures.readiness(60, answers)()


def test_every_metric_has_a_name_of_its_own_and_all_are_shown_as_declared(measures: Measures) -> None:
    declared = {one.name: one for one in vars(metrics).values() if isinstance(one, metrics.Metric)}
    assert len(declared) == sum(isinstance(one, metrics.Metric) for one in vars(metrics).values())
    kept = {family.name for family in measures.collected.collect()}
    assert kept <= {name.removesuffix("_total") for name in declared}
    assert b"platetrail_worker_commit_age_seconds" in generate_latest(measures.collected)
