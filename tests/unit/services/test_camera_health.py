"""What an operator sees of `platetrail camera health`."""

from datetime import datetime, timedelta
from io import StringIO

import msgspec
import pytest
from rich.console import Console

from schemas.health import CameraState
from search.health import CameraHealth, HealthList, view
from services.cli.camera_health import health_table, look_at, why_none
from tests.support.cameras import camera
from tests.support.health import NOW, every, folded, report

LATER = NOW + timedelta(minutes=90)
BUSY = folded(
    [
        *every(5, NOW - timedelta(days=1), NOW),
        report(1000, accepted=61, rejected={"shape": 150}, confidences=9, confidence_total=81_000),
        *(report(1000 + n, NOW - n * timedelta(minutes=20), skews=9, skew_low_s=25_201.0 + n) for n in range(1, 4)),
    ]
)


def healths() -> list[CameraHealth]:
    return [
        view(camera("i70-west-12")[0], BUSY, LATER, LATER),
        view(camera("old-bridge", proof="url")[0], CameraState(), LATER, LATER),
        view(camera("gone", active=False)[0], CameraState(), LATER, LATER),
    ]


def shown(*parts: object, width: int = 120) -> str:
    text = StringIO()
    Console(file=text, width=width).print(*parts, sep="\n", end="")
    return text.getvalue()


def test_the_table_has_two_lines_for_each_camera() -> None:
    lines = [" ".join(line.split()) for line in shown(health_table(healths())).splitlines()]
    assert lines[1:3] == ["camera last hour rejected", "status, last read last day confidence clock"]
    assert lines[4:10] == [
        "i70-west-12 0 31% +7 h 00",
        "silent, 90 min ago 341 90% ±1 s",
        "old-bridge 0 - -",
        "never seen 0 -",
        "gone 0 - -",
        "retired 0 -",
    ]


def test_a_narrow_terminal_leaves_ids_and_statuses_whole() -> None:
    text = shown(health_table(healths()), width=60)
    assert all(word in text for word in ("i70-west-12", "old-bridge", "silent", "never seen"))


def test_a_long_id_is_broken_before_any_number_is() -> None:
    long = view(camera("a" * 63)[0], BUSY, LATER, LATER)
    lines = [line.split() for line in shown(health_table([long]), width=80).splitlines()]
    assert [line[1:] for line in lines[4:6]] == [["0", "31%", "+7", "h", "00"], ["341", "90%", "±1", "s"]]
    assert sum(line[0].count("a") for line in lines[4:7]) == 63


def test_what_to_look_at_comes_camera_by_camera() -> None:
    text = shown(*look_at(healths()), width=1000)
    assert [line.split("  ")[:2] for line in text.splitlines() if line] == [
        ["i70-west-12", "silent"],
        ["i70-west-12", "clock off"],
        ["i70-west-12", "many rejects"],
        ["old-bridge", "token in url"],
    ]
    assert "clock_use = offset, clock_offset_s = 25203" in text
    assert "now it has been for 90 min" in text


def test_a_number_to_set_is_shown_as_an_operator_would_set_it() -> None:
    answer = msgspec.json.encode(HealthList(at=LATER, reported_at=LATER, cameras=tuple(healths())))
    text = shown(*look_at(msgspec.json.decode(answer, type=HealthList).cameras), width=1000)
    assert "clock_offset_s = 25203\n" in text


@pytest.mark.parametrize(
    ("silent", "reported", "says"),
    [
        (False, LATER, "Your agency has no camera."),
        (True, LATER, "No camera is silent."),
        (True, LATER - timedelta(minutes=6), "is not known"),
        (True, None, "is not known"),
    ],
)
def test_where_no_camera_is_shown_it_is_said_what_that_means(
    silent: bool, reported: datetime | None, says: str
) -> None:
    assert says in why_none(HealthList(at=LATER, reported_at=reported, cameras=()), silent=silent)
