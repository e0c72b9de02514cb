"""The gateway's benchmark runs and says what it should: how fast it is, is no test's business."""

import json
from pathlib import Path

import pytest

from services.demo.kafka import Kafka
from tests.bench import gateway
from tests.bench.report import case, lines, table


def test_every_case_is_measured_beside_its_yardstick(kafka: Kafka, tmp_path: Path) -> None:
    with gateway.rig(tmp_path, kafka.bootstrap) as rig:
        cases = gateway.measure(rig, repetitions=2, warm_s=0.1, measure_s=0.2)
    told = [json.loads(line) for line in lines(cases).splitlines()]
    assert [one["case"] for one in told] == ["single", "batch_100", "single_uvicorn", "batch_100_uvicorn"]
    for one in told:
        assert list(one) == ["bench", "case", "value", "unit", "yardstick", "ratio", "n", "spread"]
        assert (one["bench"], one["unit"], one["n"]) == ("gateway", "detections/s", 2)
        assert one["value"] > 0
        assert one["yardstick"] > 0
        assert one["ratio"] > 0
        assert one["spread"] >= 0
    assert len(table(cases).splitlines()) == 5


def test_a_case_is_what_its_repetitions_say() -> None:
    made = case("gateway", "single", "detections/s", [50.0, 10.0, 30.0], [100.0, 100.0, 40.0])
    assert (made.value, made.yardstick, made.n) == (30.0, 100.0, 3)
    assert made.ratio == pytest.approx(0.5)
    assert made.spread == pytest.approx(0.65)
