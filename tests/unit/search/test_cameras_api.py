"""The camera routes' part of the OpenAPI document."""

import json
from typing import Any

from search.act import Act
from search.adapters.memory import MemoryCameras
from search.api import cameras
from search.audit.adapters.memory import MemoryLog
from search.audit.lookups import Lookups
from tests.support.tokens import Issuer


def described() -> dict[str, Any]:
    """Return a document of these routes alone."""
    document: dict[str, Any] = {}
    cameras.describe(document)
    return document


def test_each_route_is_described() -> None:
    act = Act(MemoryCameras(MemoryLog()), Lookups(b"k" * 32))
    served = {
        (route.path, method.lower())
        for route in cameras.routes(act, Issuer().verifier())
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert served == {(path, method) for path, methods in described()["paths"].items() for method in methods}


def test_every_shape_that_is_referred_to_is_there() -> None:
    document = described()
    text = json.dumps(document)
    referred = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= document["components"]["schemas"].keys()
    assert {"NewCamera", "Registered", "Retired", "Problem"} <= referred


def test_no_answer_has_the_hash_of_a_key() -> None:
    assert "key_sha256" not in json.dumps(described())
