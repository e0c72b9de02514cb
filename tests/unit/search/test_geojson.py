"""GeoJSON: a line only where a vehicle can have driven, and the doubt in every feature."""

import json
from typing import Any

import pytest

from schemas.queries import Answer, Receipt, TravelLimits, Withheld
from search.export.geojson import encode
from search.matching import Sought
from search.ports import Row
from search.trajectory import Page, page
from tests.support.rows import row

SOUGHT = Sought(plate="ABC123")


def paged(rows: list[Row], limit: int = 100, before: Page | None = None) -> Page:
    """Return one page of rows."""
    carry = before.carry if before else None
    return page(rows, SOUGHT, limit=limit, pass_window_s=30, limits=TravelLimits(), carry=carry)


def answered(found: Page) -> Answer:
    """Return an answer with this page."""
    return Answer(
        points=found.points,
        legs=found.legs,
        splits=found.splits,
        limits=TravelLimits(),
        withheld=Withheld(owners=1, reasons={"no_grant": 1}),
        complete=False,
        intent=3,
        outcome=4,
        receipt=Receipt(index=3, leaf="e30=", size=4, root="00"),
        next=None,
    )


def collection(rows: list[Row]) -> dict[str, Any]:
    """Return the FeatureCollection of rows."""
    result: dict[str, Any] = json.loads(encode(answered(paged(rows))))
    return result


def lines(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the features that are legs."""
    return [feature for feature in shown["features"] if feature["properties"]["feature"] == "leg"]


def test_points_are_longitude_first_with_their_properties() -> None:
    only = row(make="ford", make_confidence=0.5, said=b'{"make":"FORD"}')
    (feature,) = collection([only])["features"]
    assert feature["type"] == "Feature"
    assert feature["id"] == str(only.pass_id)
    assert feature["geometry"] == {"type": "Point", "coordinates": [-90.0, 38.0]}
    properties = feature["properties"]
    assert properties["make"] == {"value": "ford", "confidence": 0.5, "code": "FORD", "said": "FORD"}
    assert (properties["captured_at"], properties["doubts"]) == ("2026-03-08T12:00:00Z", [])
    assert "position" not in properties


def test_the_status_stands_on_the_whole_and_on_each_feature() -> None:
    shown = collection([row(0), row(600, "cam-2", latitude=38.1)])
    assert shown["type"] == "FeatureCollection"
    assert shown["status"] == "UNVERIFIED LEAD"
    assert len(shown["features"]) == 3
    assert {feature["properties"]["status"] for feature in shown["features"]} == {"UNVERIFIED LEAD"}
    assert shown["withheld"] == {"owners": 1, "reasons": {"no_grant": 1}}
    assert (shown["complete"], shown["intent"], shown["outcome"]) == (False, 3, 4)
    assert not {"points", "legs"} & shown.keys()


def test_a_possible_leg_is_a_line_and_an_impossible_one_is_not() -> None:
    rows = [row(0), row(600, "cam-2", latitude=38.1), row(601, "cam-3", latitude=39.0)]
    shown = collection(rows)
    (line,) = lines(shown)
    assert line["geometry"] == {"type": "LineString", "coordinates": [[-90.0, 38.0], [-90.0, 38.1]]}
    assert line["properties"]["from"] == str(rows[0].pass_id)
    assert [split["after"] for split in shown["splits"]] == [str(rows[1].pass_id)]


@pytest.mark.parametrize(("west", "east"), [(179.0, -179.0), (-179.0, 179.0)])
def test_a_leg_over_the_antimeridian_is_cut(west: float, east: float) -> None:
    rows = [row(0, latitude=10.0, longitude=west), row(36_000, "cam-2", latitude=12.0, longitude=east)]
    (line,) = lines(collection(rows))
    edge = 180.0 if west > 0 else -180.0
    assert line["geometry"] == {
        "type": "MultiLineString",
        "coordinates": [[[west, 10.0], [edge, 11.0]], [[-edge, 11.0], [east, 12.0]]],
    }


def test_the_leg_from_the_page_before_has_a_line_if_its_point_is_known() -> None:
    rows = [row(0), row(600, "cam-2", latitude=38.1)]
    second = paged(rows[1:], before=paged(rows, limit=1))
    assert len(second.legs) == 1
    known = json.loads(encode(answered(second), second.previous))
    assert lines(known)[0]["geometry"]["coordinates"] == [[-90.0, 38.0], [-90.0, 38.1]]
    assert lines(json.loads(encode(answered(second)))) == []
