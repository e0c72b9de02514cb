"""Reads err as the data file says, and nobody but the simulator knows the file."""

import math
import random
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from schemas.plate import normalise
from services.simulate import generate
from services.simulate.errors import ErrorModel, load_errors
from services.simulate.misreads import Read, Reader, write_plate
from services.simulate.truth import PASS_WINDOW, Truth
from services.simulate.vehicles import Vehicle
from services.simulate.world import World
from tests.unit.simulate.conftest import NOW

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def errors() -> ErrorModel:
    return load_errors()


@pytest.fixture(scope="module")
def many(a_world: World) -> Truth:
    """Enough reads to measure rates: a fortnight."""
    return generate(a_world, NOW, days=14)


def test_the_share_of_wrong_plates_is_that_of_the_file(errors: ErrorModel, many: Truth) -> None:
    with_plate = [read for read in many.reads if read.text is not None]
    right = 0.0
    for read in with_plate:
        length = len(many.vehicles[read.vehicle].plate)
        right += (1 - errors.plate.character_error) ** length * (1 - errors.plate.dropped_character)
    wrong = sum(not read.right for read in with_plate)
    assert _near(wrong, len(with_plate), 1 - right / len(with_plate))


@pytest.mark.parametrize("name", ["make", "model", "colour", "body", "region"])
def test_attributes_are_missing_as_often_as_the_file_says(errors: ErrorModel, many: Truth, name: str) -> None:
    reads = [read for read in many.reads if read.text is not None]
    missing = sum(getattr(read.detection, name) is None for read in reads)
    assert _near(missing, len(reads), getattr(errors, name).unknown)


@pytest.mark.parametrize("name", ["make", "model", "colour", "body"])
def test_attributes_are_wrong_as_often_as_the_file_says(errors: ErrorModel, many: Truth, name: str) -> None:
    wrong = sum(
        (said := getattr(read.detection, name)) is not None
        and said.value.lower() != getattr(many.vehicles[read.vehicle], name).lower()
        for read in many.reads
    )
    assert _near(wrong, len(many.reads), getattr(errors, name).wrong)


def test_regions_are_wrong_as_often_as_the_file_says(errors: ErrorModel, many: Truth) -> None:
    reads = [read for read in many.reads if read.text is not None]
    wrong = sum(read.detection.region not in (None, many.vehicles[read.vehicle].region) for read in reads)
    assert _near(wrong, len(reads), errors.region.wrong)


def test_passes_are_missed_and_read_twice_as_often_as_the_file_says(errors: ErrorModel, many: Truth) -> None:
    turns = [len(reads) for reads in _by_pass(many).values()]
    assert _near(len(many.passes) - len(turns), len(many.passes), errors.missed_pass)
    assert _near(turns.count(2), len(turns), errors.duplicates.share)
    assert _near(sum(read.text is None for read in many.reads), len(many.reads), errors.unread_plate)


def test_second_reads_come_within_the_pass_window_from_the_same_camera(many: Truth) -> None:
    for reads in _by_pass(many).values():
        assert len({read.camera_id for read in reads}) == 1
        times = [read.detection.captured_at for read in reads]
        assert timedelta() <= max(times) - min(times) < PASS_WINDOW


def test_look_alikes_are_most_of_the_substitutions(a_world: World, errors: ErrorModel) -> None:
    certain = msgspec.structs.replace(
        errors, plate=msgspec.structs.replace(errors.plate, character_error=1.0, dropped_character=0.0)
    )
    reader, dice = Reader(a_world, certain), random.Random(5)
    alike = any_other = 0
    for _ in range(2_000):
        read = reader.misread("8B1", dice)
        assert all(is_read != was for is_read, was in zip(read, "8B1", strict=True))
        alike += read[0] in errors.plate.look_alikes["8"]
        any_other += read[0] not in errors.plate.look_alikes["8"]
    # A random substitution can be a look-alike too: 4 of 35.
    expected = errors.plate.look_alike_share + (1 - errors.plate.look_alike_share) * 4 / 35
    assert _near(alike, alike + any_other, expected)


def test_without_errors_every_plate_is_right(a_world: World, errors: ErrorModel) -> None:
    perfect = msgspec.structs.replace(
        errors,
        missed_pass=0.0,
        unread_plate=0.0,
        plate=msgspec.structs.replace(errors.plate, character_error=0.0, dropped_character=0.0),
    )
    truth = generate(a_world, NOW, days=1, errors=perfect)
    assert len(truth.reads) >= len(truth.passes) > 100
    assert all(read.right for read in truth.reads)


def test_wrong_reads_are_less_confident_and_never_certain_to_be_told(many: Truth) -> None:
    right = [_confidence(read) for read in many.reads if read.right]
    wrong = [_confidence(read) for read in many.reads if read.text is not None and not read.right]
    assert sum(right) / len(right) - sum(wrong) / len(wrong) > 0.1
    # Otherwise a threshold would do, and nothing in the world is that easy.
    assert max(wrong) > min(right)


def test_what_is_sent_says_what_was_read(many: Truth) -> None:
    written = set()
    for read in many.reads:
        assert normalise(read.detection.plate) == read.text
        assert read.right == (read.text == many.vehicles[read.vehicle].plate)
        assert read.detection.captured_at.utcoffset() in [timedelta(hours=-offset) for offset in (4, 5, 6, 7)]
        written.add(_style(read.detection.plate or ""))
        for candidate in read.detection.candidates[:1]:
            assert candidate.plate == read.detection.plate
    assert written >= {"hyphens", "plain", "lower"}


def test_the_truth_is_among_the_candidates_of_some_wrong_reads_only(many: Truth) -> None:
    wrong = [read for read in many.reads if read.text is not None and not read.right and read.detection.candidates]
    listed = sum(_lists(read, many.vehicles[read.vehicle]) for read in wrong)
    assert 0.4 < listed / len(wrong) < 0.85


def test_no_vehicle_number_or_truth_is_sent(a_truth: Truth) -> None:
    fields = set(msgspec.to_builtins(a_truth.reads[0].detection))
    assert not fields & {"vehicle", "right", "of_pass", "text", "owner", "number"}


@pytest.mark.parametrize(("dialect", "written"), [("hyphens", "ABC-1234"), ("keyed", "ABC1234"), ("lower", "abc 1234")])
def test_dialects(dialect: str, written: str) -> None:
    assert write_plate("ABC1234", dialect) == written  # type: ignore[arg-type]


def test_a_file_with_an_unknown_or_impossible_value_is_refused(tmp_path: Path, errors: ErrorModel) -> None:
    good = msgspec.to_builtins(errors)
    for bad in ({**good, "missed_pass": 1.5}, {**good, "mised_pass": 0.1}):
        path = tmp_path / "errors.yaml"
        path.write_bytes(msgspec.yaml.encode(bad))
        with pytest.raises(msgspec.ValidationError):
            load_errors(path)


def test_nothing_that_searches_knows_the_file() -> None:
    """`search` imports neither `services` (the import contracts say so) nor opens the file by name."""
    sources = [path for folder in ("search", "schemas", "ingest") for path in (ROOT / folder).rglob("*.py")]
    assert sources
    for path in sources:
        text = path.read_text()
        assert "errors.yaml" not in text, path
        assert "simulate" not in text, path


def _near(hits: int, trials: int, share: float) -> bool:
    """Return whether the hits lie within five standard deviations of a binomial with that share."""
    return abs(hits - trials * share) <= 5 * math.sqrt(trials * share * (1 - share))


def _by_pass(truth: Truth) -> dict[int, list[Read]]:
    found: dict[int, list[Read]] = {}
    for read in truth.reads:
        found.setdefault(read.of_pass, []).append(read)
    return found


def _confidence(read: Read) -> float:
    assert read.detection.plate_confidence is not None
    return read.detection.plate_confidence


def _style(raw: str) -> str:
    return "hyphens" if "-" in raw else "lower" if raw != raw.upper() else "plain"


def _lists(read: Read, vehicle: Vehicle) -> bool:
    return any(normalise(candidate.plate) == vehicle.plate for candidate in read.detection.candidates)
