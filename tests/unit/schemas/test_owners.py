"""Owners' rules: the defaults share nothing, and a mistyped file stops the service."""

from pathlib import Path

import msgspec
import pytest

from schemas import owners


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "owners.json"
    path.write_text(text)
    return path


def test_an_absent_owner_shares_with_nobody_and_keeps_thirty_days(tmp_path: Path) -> None:
    rules = owners.load(written(tmp_path, '{"owners": {}}'))
    assert rules.grant("plains-dot") == owners.Grant(agencies=(), purposes=(), days=30)
    assert rules.longest_days() == 30


def test_the_longest_retention_is_that_of_all_owners(tmp_path: Path) -> None:
    rules = owners.load(written(tmp_path, '{"owners": {"a": {"days": 21}, "b": {"days": 90}}}'))
    assert (rules.days("a"), rules.days("b"), rules.days("c"), rules.longest_days()) == (21, 90, 30, 90)


@pytest.mark.parametrize(
    "text",
    [
        '{"owners": {"a": {"purpose": ["stolen_vehicle"]}}}',
        '{"owners": {"a": {"purposes": ["curiosity"]}}}',
        '{"owners": {"a": {"days": "21"}}}',
        '{"owners": {"a": {"days": 0}}}',
        '{"owner": {}}',
        "",
    ],
)
def test_a_mistyped_rule_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        owners.load(written(tmp_path, text))


def test_the_digest_names_the_content_not_its_order(tmp_path: Path) -> None:
    one = owners.load(written(tmp_path, '{"owners": {"a": {"days": 21}, "b": {"days": 30}}}'))
    same = owners.load(written(tmp_path, '{"owners": {"b": {}, "a": {"days": 21}}}'))
    other = owners.load(written(tmp_path, '{"owners": {"a": {"days": 22}}}'))
    assert one.digest == same.digest != other.digest
