"""Problem documents for what FastAPI refuses: they say where, in our words alone."""

from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from services.observe import install_problems, install_shape_problems

PLATE = "XQ7O41"


class Wanted(BaseModel):
    """Query parameters."""

    model_config = ConfigDict(extra="forbid")

    limit: int = 1


class Inner(BaseModel):
    """Part of a body."""

    model_config = ConfigDict(extra="forbid")

    from_: int = Field(0, alias="from")


class Body(Inner):
    """A body with members that the caller names."""

    inner: Inner | None = None
    counts: dict[str, int] = {}


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    install_problems(app)
    install_shape_problems(app)

    @app.get("/asked")
    async def asked(wanted: Annotated[Wanted, Query()]) -> None: ...

    @app.post("/sent")
    async def sent(body: Body) -> None: ...

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def test_a_parameter_is_named_if_it_is_ours(client: httpx.AsyncClient) -> None:
    answer = await client.get("/asked", params={"limit": PLATE, PLATE: "1"})
    assert answer.status_code == 422
    assert PLATE not in answer.text
    assert {one["pointer"] for one in answer.json()["errors"]} == {"/query/limit", "/query"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({PLATE: 1}, "/body"),
        ({"inner": {PLATE: 1}}, "/body/inner"),
        ({"counts": {PLATE: PLATE}}, "/body/counts"),
        ({"inner": {"from": PLATE}}, "/body/inner/from"),
    ],
)
async def test_a_member_is_named_if_it_is_ours(client: httpx.AsyncClient, body: object, pointer: str) -> None:
    answer = await client.post("/sent", json=body)
    assert answer.status_code == 422
    assert PLATE not in answer.text
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_a_405_names_every_method_of_its_path_and_no_other() -> None:
    app = FastAPI()
    install_problems(app)
    install_shape_problems(app)

    @app.get("/things/{name}")
    async def show(name: str) -> None: ...

    @app.patch("/things/{name}")
    async def change(name: str) -> None: ...

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as one:
        refused = await one.post("/things/7")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, PATCH")


async def test_a_slash_too_many_is_no_redirection_that_repeats_the_path() -> None:
    app = FastAPI()
    install_problems(app)
    install_shape_problems(app)

    @app.post("/push/{token}")
    async def push(token: str) -> None: ...

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as one:
        refused = await one.post(f"/push/{PLATE}/")
    assert refused.status_code == 404
    assert PLATE not in refused.text + str(refused.headers)


async def test_what_would_be_right_is_said_and_parameters_of_the_route_are_listed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/asked", params={"limit": PLATE, PLATE: "1"})
    assert {one["pointer"]: one["detail"] for one in answer.json()["errors"]} == {
        "/query/limit": "A whole number is expected here.",
        "/query": "There is no such parameter; known are: limit.",
    }


@pytest.mark.parametrize("body", [{"counts": {"a": PLATE}}, {"inner": {PLATE: 1}}, [PLATE]])
async def test_no_code_of_a_library_is_an_answer(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/sent", json=body)
    (flaw,) = answer.json()["errors"]
    assert (flaw["detail"][-1], "_" in flaw["detail"]) == (".", False)
    assert PLATE not in answer.text
