"""Every route of every service that listens: the open ones are one short list, and the others let nobody else in."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from schemas import keys as camera_keys
from schemas.owners import OwnerRules
from services import auditing, deadletters, gateway, search
from services.observe import OPEN_ROUTES, Measures, listener
from services.settings import Settings
from tests.support.http import operations, statuses
from tests.support.searching import Keys

Builder = Callable[[Keys], FastAPI]
COUNTING: Final = ("gateway", "deadletters")
"""Services that show counters."""
NOWHERE: Final = "postgresql://nobody@127.0.0.1:9/nothing"


def _settings(keys: Keys, **changes: Any) -> Settings:
    """Return settings of any service; nothing is connected before a service starts, so nothing is there."""
    files = {
        "token_public_key_file": keys.folder / "token.pub",
        "lookup_key_file": keys.folder / "lookup.key",
        "cursor_key_file": keys.folder / "cursor.key",
        "token_issuer": "https://issuer.test",
    }
    return Settings(**{"database_url": NOWHERE, **files, **changes})


APPS: Final[dict[str, Builder]] = {
    "gateway": lambda keys: gateway.build(_settings(keys)),
    "search": lambda keys: search.build(_settings(keys, audit_public_key_file=keys.folder / "audit.pub")),
    "auditing": lambda keys: auditing.build(_settings(keys, audit_private_key_file=keys.folder / "audit.key")),
    "deadletters": lambda keys: deadletters.build(_settings(keys, audit_public_key_file=keys.folder / "audit.pub")),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"), OwnerRules())


def open_to(found: dict[tuple[str, str], int], *refusals: int) -> set[str]:
    """Return the paths that did not refuse."""
    return {path for (_, path), status in found.items() if status not in refusals}


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x.y.z", "Basic eDp5"])
async def test_without_credentials_the_open_routes_alone_answer(
    keys: Keys, name: str, authorization: str | None
) -> None:
    app = APPS[name](keys)
    found = await statuses(app, {"Authorization": authorization} if authorization else {})
    expected = OPEN_ROUTES if name in COUNTING else OPEN_ROUTES - {"/metrics"}
    assert open_to(found, 401) == expected
    assert len({path for _, path in found} - OPEN_ROUTES) >= 2


@pytest.mark.parametrize("name", ["search", "auditing", "deadletters"])
async def test_a_cameras_key_is_no_token(keys: Keys, name: str) -> None:
    found = await statuses(APPS[name](keys), {"Authorization": f"Bearer {camera_keys.new().key}"})
    assert open_to(found, 401) <= OPEN_ROUTES


def test_the_walk_finds_what_the_documentation_names(keys: Keys) -> None:
    for build in APPS.values():
        app = build(keys)
        documented = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
        assert documented <= set(operations(app))
        assert documented


@pytest.mark.parametrize("role", ["investigator", "camera_operator"])
async def test_an_auditors_routes_are_closed_to_others(keys: Keys, role: str) -> None:
    found = await statuses(APPS["auditing"](keys), keys.bearer(role=role))
    assert {path for (_, path), status in found.items() if status == 403} == {path for _, path in found} - OPEN_ROUTES
    assert open_to(found, 403) <= OPEN_ROUTES


@pytest.mark.parametrize("name", ["search", "deadletters"])
async def test_an_auditor_neither_asks_nor_registers_nor_replays(keys: Keys, name: str) -> None:
    found = await statuses(APPS[name](keys), keys.bearer(role="auditor"))
    assert open_to(found, 403) <= OPEN_ROUTES


async def test_dead_letters_are_closed_to_investigators(keys: Keys) -> None:
    found = await statuses(APPS["deadletters"](keys), keys.bearer(role="investigator"))
    assert open_to(found, 403) <= OPEN_ROUTES


async def test_a_token_opens_nothing_at_the_gateway(keys: Keys) -> None:
    found = await statuses(APPS["gateway"](keys), keys.bearer())
    assert open_to(found, 401) <= OPEN_ROUTES


async def test_no_application_sends_telemetry_of_the_frameworks_making(keys: Keys) -> None:
    """It would quote paths and queries; ours is in `services.observe.tracing`."""
    assert not isinstance(listener.build(CollectorRegistry(), _never), FastAPI), "it would send some, told nothing"
    for app in (build(keys) for build in APPS.values()):
        assert not {name for name in ("tracing", "metrics", "logs", "auto_configure") if app._telemetry[name]}


async def _never() -> bool:
    return False


async def test_beside_a_worker_nothing_answers_but_the_open_routes() -> None:
    measures = Measures("enricher")
    app = listener.build(measures.collected, measures.readiness(60))
    found = await statuses(app)
    assert found == {("GET", "/healthz"): 200, ("GET", "/readyz"): 503, ("GET", "/metrics"): 200}
    assert {path for _, path in found} <= OPEN_ROUTES


async def test_an_open_route_that_is_not_on_the_list_is_found(keys: Keys) -> None:
    app = APPS["search"](keys)

    @app.get("/v1/planted")
    async def planted() -> None: ...

    assert open_to(await statuses(app), 401) - OPEN_ROUTES == {"/v1/planted"}


def test_a_route_that_cannot_be_walked_fails(keys: Keys) -> None:
    app = APPS["search"](keys)
    app.mount("/planted", FastAPI())
    with pytest.raises(AssertionError, match="cannot be walked"):
        list(operations(app))
