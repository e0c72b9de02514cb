"""Decisions: absence means one's own agency only."""

import msgspec

from schemas.owners import Grant, OwnerRules
from schemas.queries import Asker
from search.policy import decide

ASKER = Asker(person="p", agency="north", roles=frozenset({"investigator"}))
RULES = OwnerRules(
    owners={
        "south": Grant(agencies=("north",), purposes=("stolen_vehicle",), days=21),
        "west": Grant(agencies=("south",), purposes=("stolen_vehicle",), days=10),
        "north": Grant(agencies=(), purposes=(), days=14),
    }
)


def test_own_agency_is_permitted_for_every_purpose_within_its_days() -> None:
    assert decide(RULES, ASKER.agency, "internal_audit", ["north"]).permitted == {"north": 14}


def test_an_absent_owner_shares_with_itself_alone_for_thirty_days() -> None:
    assert decide(OwnerRules(), ASKER.agency, "stolen_vehicle", ["north", "south"]).permitted == {"north": 30}


def test_a_grant_needs_agency_and_purpose() -> None:
    stolen = decide(RULES, ASKER.agency, "stolen_vehicle", ["north", "south", "west", "east"])
    assert stolen.permitted == {"north": 14, "south": 21}
    assert stolen.denied == {"west": "no_grant", "east": "no_grant"}
    missing = decide(RULES, ASKER.agency, "missing_person", ["south", "west"])
    assert missing.denied == {"south": "purpose", "west": "no_grant"}
    assert msgspec.to_builtins(missing.withheld()) == {"owners": 2, "reasons": {"no_grant": 1, "purpose": 1}}


def test_owners_without_cameras_are_not_in_a_scope() -> None:
    assert decide(RULES, ASKER.agency, "stolen_vehicle", ["west"]).permitted == {}


def test_the_scope_is_canonical_and_names_its_policy() -> None:
    one = decide(RULES, ASKER.agency, "stolen_vehicle", ["south", "north"])
    other = decide(RULES, ASKER.agency, "stolen_vehicle", ["north", "south", "west"])
    assert one.scope_body == other.scope_body
    assert msgspec.json.decode(one.scope_body) == {
        "agency": "north",
        "owners": {"north": 14, "south": 21},
        "policy": RULES.digest.hex(),
        "purpose": "stolen_vehicle",
    }


def test_decisions_are_listed_by_owner() -> None:
    leaves = decide(RULES, ASKER.agency, "stolen_vehicle", ["west", "south", "north"]).leaves()
    assert [msgspec.json.decode(leaf) for leaf in leaves] == [
        {"owner": "north", "decision": "permit", "days": 14},
        {"owner": "south", "decision": "permit", "days": 21},
        {"owner": "west", "decision": "deny", "reason": "no_grant"},
    ]
