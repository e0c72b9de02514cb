"""The checker for leaks: planted plates turn it red in every spelling, and hashes and ids do not."""

from pathlib import Path

import pytest

from tests.support import leaks

PLATE = "DSO-8812"


@pytest.mark.parametrize(
    "text",
    [
        '{"plate": "DSO-8812"}',
        "select … where plate = 'DSO8812'",
        "dso 8812",
        "GET /v1/trajectories?plate=DSO8812 HTTP/1.1",
        "plate=dso%208812",
        "key=0508812",
    ],
)
def test_a_planted_plate_is_found_in_every_spelling(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.log").write_text(f"a line before\n{text}\n")
    found = leaks.in_files(tmp_path, [PLATE], [])
    assert [leak.line for leak in found] == [2]


def test_parts_of_hashes_and_ids_are_no_plates(tmp_path: Path) -> None:
    (tmp_path / "some.log").write_text("root 9fdso8812ab, id 4f0c-xDSO8812, port 8812, DSO and 8812")
    assert leaks.in_files(tmp_path, [PLATE], []) == []


def test_users_and_cases_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.log").write_text("by I.Vance@copper.example in xDEMO-1x")
    found = leaks.in_files(tmp_path, [], ["i.vance@copper.example", "DEMO-1"])
    assert sorted(leak.what for leak in found) == ["DEMO-1", "i.vance@copper.example"]


def test_an_empty_folder_is_not_called_clean(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nothing to look at"):
        leaks.in_files(tmp_path, [PLATE], [])
