"""Every figure of docs/scaling.md follows from its inputs, from `schemas/topics/` and from our own settings."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Final, NamedTuple

import pytest

from ingest.adapters.topics import COPIES
from ingest.enrich import enrich
from schemas import owners, topics, wire
from schemas.owners import OwnerRules
from services.settings import Settings
from tests.bench.ingest import load

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGE: Final = (DOCS / "scaling.md").read_text()

TASK: Final = {"reads_a_month": 20_000_000_000, "peak_factor": 4}

Row = dict[str, str]


class Figure(NamedTuple):
    """A number as the page shows it, and the formula that it says it comes from; other formulas may use its name."""

    name: str | None
    shown: str
    formula: str


def tables(text: str) -> Iterator[list[Row]]:
    """Yield each table of a page as its rows, by the names of the columns; backquotes are taken off."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        yield [dict(zip(head, (cell.strip("`") for cell in row), strict=True)) for row in rows]


def rows_with(column: str, text: str = PAGE) -> list[Row]:
    return [row for table in tables(text) if table and column in table[0] for row in table]


def inputs(text: str = PAGE) -> dict[str, float]:
    return {row["input"]: number(row["value"]) for row in rows_with("input", text)}


def number(shown: str) -> float:
    return float(shown.replace(",", ""))


def alike(shown: str, value: float) -> bool:
    """Say whether a number is shown as a value rounded to as many decimals as it shows, thousands parted by commas."""
    decimals = len(shown.partition(".")[2])
    return shown == f"{value:,.{decimals}f}"


def of_topics() -> dict[str, float]:
    """Return what formulas may use of the topics' files: partitions, and seconds until a record is deleted."""
    found: dict[str, float] = {}
    for name in (topics.DETECTIONS, topics.SIGHTINGS):
        topic = topics.load(name)
        found[f"partitions_{name}"] = topic.partitions
        found[f"kept_s_{name}"] = (topic.retention_ms + topic.segment_ms) / 1000
    return found


def work_out(formula: str, names: Mapping[str, float]) -> float:
    return float(eval(formula, {"__builtins__": {}, "ceil": math.ceil, "max": max}, dict(names)))


def figures(text: str = PAGE) -> list[Figure]:
    named = [Figure(row.get("name"), row["figure"], row["formula"]) for row in rows_with("figure", text)]
    return named + [Figure(None, row["records/s at the peak"], row["formula"]) for row in rows_with("topic", text)]


def names_of(text: str = PAGE) -> dict[str, float]:
    """Return every name of the page with its value: inputs as they are written, the others worked out in order."""
    names = inputs(text) | of_topics()
    for figure in figures(text):
        if figure.name is not None:
            names[figure.name] = work_out(figure.formula, names)
    return names


def stale(text: str = PAGE) -> list[str]:
    """Return what a page shows that does not follow from it."""
    names = names_of(text)
    worked = [(one, work_out(one.formula, names)) for one in figures(text)]
    return [f"{one.formula} is {value:,.6g}, not {one.shown}" for one, value in worked if not alike(one.shown, value)]


def test_each_figure_is_what_its_formula_gives() -> None:
    assert len(figures()) > 30
    assert stale() == []


@pytest.mark.parametrize("name", ["enricher_us", "broker_us", "detection_bytes", "row_bytes", "use", "copies"])
def test_a_changed_input_makes_figures_stale(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert row is not None
    changed = row[0].replace(row[1], f"{number(row[1]) * 2:g}")
    assert stale(PAGE.replace(row[0], changed)) != []


def test_inputs_are_our_own_settings_where_they_are_ours() -> None:
    given = inputs()
    assert given["copies"] == COPIES
    assert given["window_s"] == Settings.model_fields["pass_window_s"].default
    assert given["days_kept"] == owners.DEFAULT_DAYS
    assert Settings(health_report_s=given["report_s"]).health_report_s == given["report_s"]
    assert {name: given[name] for name in TASK} == TASK


def test_messages_are_as_large_as_the_load_makes_them() -> None:
    where, now = load.cameras(), datetime(2026, 6, 30, 18, tzinfo=UTC)
    detections = [read for _, read in load.detections(where, 1000, now, 0)]
    sightings = enrich({one.camera_id: one for one in where}, OwnerRules(), now, detections)
    for name, messages in (("detection_bytes", detections), ("sighting_bytes", sightings)):
        size = mean(len(wire.encode(one)) for one in messages if one is not None)
        assert size <= inputs()[name] <= 1.05 * size, f"{name}: {size:.0f}"


def test_names_are_given_once_and_used() -> None:
    given = [*inputs(), *of_topics(), *(one.name for one in figures() if one.name is not None)]
    assert len(given) == len(set(given))
    used = {name for one in figures() for name in compile(one.formula, "formula", "eval").co_names}
    assert used - set(given) == {"ceil", "max"}
    assert set(inputs()) - used == set()


def test_every_topic_is_there_as_its_file_states_it() -> None:
    rows = {row["topic"]: row for row in rows_with("topic")}
    assert sorted(rows) == sorted((*topics.ALL, *topics.FAMILIES))
    names = names_of()
    for name, row in rows.items():
        topic = topics.load(name)
        assert (row["key"], row["partitions"]) == (topic.key, str(topic.partitions))
        assert row["kept for"] == kept(topic.retention_ms)
        assert alike(row["of a partition"], work_out(row["formula"], names) / topic.partitions), name


def kept(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for good"
    hours, seconds = retention_ms // 3_600_000, retention_ms // 1000
    return f"{hours} h" if hours else f"{seconds} s"


def test_text_names_no_number_that_no_table_has() -> None:
    planned = PAGE.partition("## What was tried")[0]
    text = re.sub(r"^\|.*\n", "", planned, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|decision \d+|\bPython [\d.]+|x86-64|2 cores", "", text)
    shown = {row["value"] for row in rows_with("input")} | {one.shown for one in figures()}
    shown |= {f"{Settings.model_fields['camera_items_per_s'].default:,.0f}", "20"}  # 20 billion
    decision = (DOCS / "decisions" / "0014-idempotent-by-default.md").read_text()
    cost = re.search(r"that is ([\d.]+) and ([\d.]+) of the idempotent enricher", decision)
    assert cost is not None
    shown |= set(cost.groups())
    found = re.findall(r"\d[\d,.]*\d|\d", text)
    assert len(found) > 3
    assert [one for one in found if one not in shown] == []


def test_the_plan_holds_together() -> None:
    """Workers are no more than partitions, none is busy all the time, and each copy has a broker of its own."""
    of = names_of()
    assert of["enrichers"] <= of["partitions_detections"]
    assert of["indexers"] <= of["partitions_sightings"]
    assert max(of["enricher_fullest"], of["indexer_fullest"]) <= of["use"]
    assert min(of["most_enriched"], of["most_indexed"]) > of["peak"]
    assert of["brokers"] >= of["copies"]
    assert of["broker_cores"] / (of["brokers"] - 1) <= of["use"]
    one_camera = Settings.model_fields["camera_items_per_s"].default * of["enricher_us"] / 1e6
    assert one_camera + of["enricher_fullest"] < 1


@pytest.mark.parametrize(
    ("shown", "value"), [("7,716", 7716.05), ("0.96", 0.9600001), ("3.0", 3.0), ("0.04", 0.0386), ("1,852", 1851.9)]
)
def test_a_figure_is_rounded(shown: str, value: float) -> None:
    assert alike(shown, value)


@pytest.mark.parametrize(("shown", "value"), [("7716", 7716.05), ("0.95", 0.9600001), ("1.0", 0.94), ("0", 0.51)])
def test_a_figure_that_is_rounded_otherwise_is_stale(shown: str, value: float) -> None:
    assert not alike(shown, value)
