"""What auditors are told of a filter that cannot be used: what would be right, in our words, and nothing of theirs."""

from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI

from schemas.entries import Kind
from schemas.queries import Asker, PurposeCode
from search.audit.api import Auditor, Entries, Filter, router
from services.observe import install_problems, install_shape_problems

ANA = Asker(person="ana", agency="north", roles=frozenset({"auditor"}))
PLATE = "XQ7O41"
ENTRIES, QUERY = "/v1/audit/entries", "/v1/audit/entries/query"
A_TIME = "An RFC 3339 time with its offset"
ESCAPED = "in a URL, + is written as %2B."


class Unasked(Auditor):
    """An auditor's log that is not to be read."""

    def __init__(self) -> None: ...

    async def entries(self, asker: Asker, wanted: Filter) -> Entries:
        raise AssertionError("an unusable filter reads nothing")


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    install_problems(app)
    install_shape_problems(app)
    app.include_router(router(Unasked(), lambda _: ANA))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


CASES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"kind": PLATE}, "kind", ["One of ", *get_args(Kind)]),
    ({"purpose": PLATE}, "purpose", ["One of ", *get_args(PurposeCode)]),
    ({"from": "2026-11-20"}, "from", [A_TIME, ESCAPED]),
    ({"from": "2026-11-20T00:00:00"}, "from", [A_TIME, ESCAPED]),
    ({"to": "2026-11-20T00:00:00 01:00"}, "to", [A_TIME, ESCAPED]),
    ({"to": "2026-11-20T" + PLATE}, "to", [A_TIME, ESCAPED]),
    ({"to": "9999-12-31T00:00:00Z"}, "to", [A_TIME, "1970 to 9998"]),
    ({"limit": 501}, "limit", ["At most 500."]),
    ({"limit": 0}, "limit", ["At least 1."]),
    ({"limit": PLATE}, "limit", ["A whole number"]),
    ({"agency": PLATE}, "agency", ["Text that matches", "^[a-z0-9][a-z0-9-]{0,62}$"]),
]


@pytest.mark.parametrize(("filters", "name", "words"), CASES)
@pytest.mark.parametrize("way", ["parameter", "member"])
async def test_what_would_be_right_is_said(
    client: httpx.AsyncClient, way: str, filters: dict[str, Any], name: str, words: list[str]
) -> None:
    in_url = way == "parameter"
    answer = await (client.get(ENTRIES, params=filters) if in_url else client.post(QUERY, json=filters))
    assert answer.status_code == 422
    (flaw,) = answer.json()["errors"]
    assert flaw["pointer"] == (f"/query/{name}" if in_url else f"/{name}")
    assert [word for word in words if word not in flaw["detail"]] == []
    assert PLATE not in answer.text


async def test_a_plus_that_is_not_escaped_is_explained_and_one_that_is_is_taken(client: httpx.AsyncClient) -> None:
    plain = await client.get(f"{ENTRIES}?from=2026-11-20T00:00:00+01:00")
    assert ESCAPED in plain.json()["errors"][0]["detail"]
    with pytest.raises(AssertionError, match="an unusable filter reads nothing"):  # it would be read
        await client.get(f"{ENTRIES}?from=2026-11-20T00:00:00%2B01:00")


@pytest.mark.parametrize(("path", "has_user"), [(ENTRIES, False), (QUERY, True)])
async def test_what_means_nothing_is_not_repeated_but_what_would_is_told(
    client: httpx.AsyncClient, path: str, has_user: bool
) -> None:
    answer = await (client.post(path, json={PLATE: 1}) if has_user else client.get(path, params={"user": PLATE}))
    (flaw,) = answer.json()["errors"]
    kind = "member" if has_user else "parameter"
    names = "kind, agency, purpose, from, to, after, limit" + (", user, case" if has_user else "")
    assert flaw["detail"] == f"There is no such {kind}; known are: {names}."
    assert PLATE not in answer.text


async def test_what_is_no_json_is_said_to_be_none(client: httpx.AsyncClient) -> None:
    answer = await client.post(QUERY, content='{"user": ' + PLATE, headers={"Content-Type": "application/json"})
    assert [flaw["detail"] for flaw in answer.json()["errors"]] == ["The body is not valid JSON (RFC 8259) in UTF-8."]
