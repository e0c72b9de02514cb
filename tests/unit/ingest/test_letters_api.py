"""What operators are told of a question about dead letters that cannot be used: what would be right, in our words."""

import httpx
import pytest
from starlette.applications import Starlette

from ingest import letters_api
from ingest.adapters.memory import MemoryLetters, MemoryPublisher, MemoryRegistry
from ingest.letters import LetterBox
from ingest.letters_api import QUERY_PATH, REPLAY_PATH, REVEAL_PATH
from schemas.entries import Entry, Lookup
from schemas.owners import OwnerRules
from schemas.queries import Asker

pytestmark = pytest.mark.filterwarnings("ignore::ingest.adapters.memory.InMemory")

JO = Asker(person="jo", agency="north", roles=frozenset({"camera_operator"}))
PLATE = "XQ7O41"
ID = "5b2b1f4e-5b2b-4b2b-8b2b-5b2b5b2b5b2b"


async def unrecorded(entry: Entry) -> int:
    raise AssertionError("nothing is recorded of what was not understood")


@pytest.fixture
def client() -> httpx.AsyncClient:
    publisher = MemoryPublisher()
    box = LetterBox(
        MemoryLetters(publisher),
        MemoryRegistry([]),
        publisher,
        unrecorded,
        lambda field, _: Lookup(field=field, mac=b"m"),
        OwnerRules(),
        future_limit_s=300,
    )
    app = Starlette(routes=letters_api.routes(box, lambda _: JO))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


@pytest.mark.parametrize(
    ("path", "body", "pointer", "words"),
    [
        (REVEAL_PATH, {"letter_id": ID, "note": "."}, "/note", "3 to 500 characters, says why"),
        (REVEAL_PATH, {"letter_id": ID}, "/note", "3 to 500 characters, says why"),
        (REVEAL_PATH, {"letter_id": PLATE, "note": "why"}, "/letter_id", "a UUID"),
        (REPLAY_PATH, {"note": PLATE * 100}, "/note", "3 to 500 characters, says why"),
        (REPLAY_PATH, {"dry_run": PLATE}, "/dry_run", "true or false"),
        (REPLAY_PATH, {"force": PLATE}, "/force", "true or false"),
        (QUERY_PATH, {"letter_ids": [PLATE]}, "/letter_ids", "1 to 500 ids"),
        (QUERY_PATH, {"reason": PLATE}, "/reason", "clock_future"),
        (QUERY_PATH, {"stage": PLATE}, "/stage", "enricher"),
        (QUERY_PATH, {"camera_id": PLATE}, "/camera_id", "lower-case letters"),
        (QUERY_PATH, {"since": "2026-03-01T14:00:00"}, "/since", "with its offset"),
        (QUERY_PATH, {"before": PLATE}, "/before", "next in the answer before"),
        (QUERY_PATH, {"limit": 501}, "/limit", "from 1 to 500"),
        (QUERY_PATH, {PLATE: 1}, "", "no other members than letter_ids, reason"),
        (QUERY_PATH, [PLATE], "", "A JSON object"),
    ],
)
async def test_what_would_be_right_is_said_of_each_member(
    client: httpx.AsyncClient, path: str, body: object, pointer: str, words: str
) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (flaw,) = answer.json()["errors"]
    assert flaw["pointer"] == pointer
    assert words in flaw["detail"]
    assert PLATE not in answer.text


@pytest.mark.parametrize("body", [b"{", b'{"note": "' + PLATE.encode() + b'\xff"}', b""])
async def test_what_is_no_json_is_said_to_be_none(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(REVEAL_PATH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert [flaw["detail"].partition(" in ")[0] for flaw in answer.json()["errors"]] == [
        "The body is not JSON (RFC 8259)"
    ]
    assert PLATE not in answer.text
