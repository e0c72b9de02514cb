"""Rates of cameras, by a clock that the tests move."""

import pytest

from ingest.errors import Limited
from ingest.rates import SWEEP_AT, Buckets, Rate, Rates


def refused(rates: Rates, camera_id: str, now_s: float) -> tuple[str, int] | None:
    try:
        rates.request(camera_id, now_s)
    except Limited as limited:
        return limited.reason, limited.retry_after_s
    return None


def test_a_burst_then_the_rate_and_another_camera_is_free() -> None:
    rates = Rates(Rate(2.0, 4), Rate(1000.0, 1000))
    assert [refused(rates, "cam-1", 100.0) for _ in range(5)] == [None] * 4 + [("requests", 1)]
    assert refused(rates, "cam-2", 100.0) is None
    assert refused(rates, "cam-1", 100.4) == ("requests", 1)
    assert refused(rates, "cam-1", 100.5) is None
    assert refused(rates, "cam-1", 100.5) == ("requests", 1)
    assert [refused(rates, "cam-1", 200.0) for _ in range(5)] == [None] * 4 + [("requests", 1)]


def test_items_are_owed_and_whoever_waits_as_told_is_let_in() -> None:
    rates = Rates(Rate(100.0, 100), Rate(10.0, 50))
    assert refused(rates, "cam-1", 0.0) is None
    rates.items("cam-1", 99, 0.0)  # 50 at once, so 49 are owed, and one more must be there
    assert refused(rates, "cam-1", 0.0) == ("items", 5)
    assert refused(rates, "cam-1", 4.9) == ("items", 1)
    assert refused(rates, "cam-1", 5.0) is None


def test_a_refused_request_is_not_counted() -> None:
    rates = Rates(Rate(1.0, 1), Rate(1.0, 1))
    assert refused(rates, "cam-1", 0.0) is None
    for tenth in range(1, 10):
        assert refused(rates, "cam-1", tenth / 10) == ("requests", 1)
    assert refused(rates, "cam-1", 1.0) is None


def test_only_cameras_that_pushed_a_moment_ago_are_remembered() -> None:
    buckets = Buckets(Rate(10.0, 10))
    for number in range(50_000):
        buckets.take(
            f"cam-{number}", 1, now_s=number / 1000
        )  # each bucket is full again after 0.1 s, 100 cameras later
        assert len(buckets) <= SWEEP_AT


@pytest.mark.parametrize("per_s", [0.3, 7.0, 50.0, 2000.0])
def test_waiting_as_told_is_always_enough(per_s: float) -> None:
    buckets = Buckets(Rate(per_s, 3))
    now_s = 12345.678
    for _ in range(1000):
        buckets.take("cam-1", 1, now_s)
        now_s += buckets.wait_s("cam-1", now_s)
        assert buckets.wait_s("cam-1", now_s) == 0.0
