"""The documentation page: everything of the document is on it, escaped, and nothing on it leads to another host."""

import re
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel

from services import docs_page

LOADING = {"src", "href", "action", "formaction", "data", "poster", "srcset", "background", "cite", "manifest"}


class Page(HTMLParser):
    """Collects what a page refers to, its identifiers and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.refers += [value or "" for name, value in attrs if name in LOADING]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words += data


class Inner(BaseModel):
    colour: str


class Body(BaseModel):
    """What is sent."""

    name: str
    inner: Inner | None = None
    many: list[Inner] = []


def app() -> FastAPI:
    made = FastAPI(title="A <b>bold</b> title", docs_url=None, redoc_url=None, description="First.\n\n* one `x`\n* two")

    @made.post("/v1/things/{number}", summary="Make a thing", responses={409: {"description": "It exists"}})
    async def make(number: int, body: Body, depth: Annotated[int, Query(ge=1, description="How deep")] = 1) -> Body:
        return body

    docs_page.install(made)
    return made


async def fetch() -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://here") as client:
        return await client.get("/docs")


async def test_the_page_refers_to_no_other_host() -> None:
    answer = await fetch()
    page = Page(answer.text)
    assert page.refers
    assert [ref for ref in page.refers if not re.fullmatch(r"#[a-z0-9-]+|openapi\.json", ref)] == []
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "form", "base"})
    assert "//" not in answer.text.replace("/*", "").replace("<!doctype", "")
    assert "@import" not in answer.text
    assert "url(" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")


async def test_the_page_says_what_the_document_says() -> None:
    page = Page((await fetch()).text)
    for word in ("/v1/things/{number}", "Make a thing", "How deep", "required", "colour", "It exists", "409", "422"):
        assert word in page.words, word
    assert [ref.removeprefix("#") for ref in page.refers if ref.startswith("#post")] == ["post-v1-things-number-"]
    assert set(page.ids) >= {ref.removeprefix("#") for ref in page.refers if ref.startswith("#")}
    assert len(page.ids) == len(set(page.ids))


async def test_what_the_document_says_is_escaped() -> None:
    answer = await fetch()
    assert "A &lt;b&gt;bold&lt;/b&gt; title" in answer.text
    assert "<b>" not in answer.text


async def test_the_style_is_the_one_that_is_allowed() -> None:
    import base64
    import hashlib

    answer = await fetch()
    found = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_the_page_is_not_part_of_the_documented_api() -> None:
    assert list(app().openapi()["paths"]) == ["/v1/things/{number}"]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/nowhere"},
        {"$ref": "#/components/schemas/Me"},
        {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/components/schemas/Me"}}]},
        {"type": ["string", "null"], "maxLength": 3},
        {"const": 1},
        {"enum": ["a", "b"]},
        {},
    ],
)
def test_odd_and_endless_shapes_are_rendered(schema: dict[str, Any]) -> None:
    me = {"type": "object", "properties": {"me": {"$ref": "#/components/schemas/Me"}}}
    said = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    page = docs_page.render({"paths": {"/x": {"put": said}}, "components": {"schemas": {"Me": me}}})
    assert "/x" in Page(page).words
