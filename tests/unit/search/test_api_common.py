"""Bodies of requests: bounded in size and time, and nothing but JSON."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from search.api.common import TooSlow, UnsupportedMediaType, body_of
from search.errors import TooLarge


class Sender:
    """A client that sends parts; afterwards it is gone, or silent."""

    def __init__(self, *parts: bytes, last: str = "") -> None:
        self.parts = list(parts)
        self.last = last
        self.taken = 0

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        self.taken += 1
        if self.parts:
            part = self.parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self.parts or self.last)}
        if self.last == "gone":
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    def request(self, **headers: str) -> Request:
        """Return the request."""
        pairs = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        raw = [(name.encode(), value.encode()) for name, value in pairs.items()]
        return Request({"type": "http", "method": "POST", "headers": raw}, self.receive)


async def test_parts_are_put_together() -> None:
    assert await body_of(Sender(b"{", b"}").request(content_type="Application/JSON; charset=utf-8")) == b"{}"


async def test_a_declared_length_over_the_limit_is_not_read() -> None:
    sender = Sender(b"{}")
    with pytest.raises(TooLarge):
        await body_of(sender.request(content_length="65537"))
    assert sender.taken == 0


async def test_an_undeclared_one_is_read_up_to_the_limit() -> None:
    sender = Sender(*[b" " * 1000] * 1000)
    with pytest.raises(TooLarge):
        await body_of(sender.request())
    assert sender.taken == 66
    assert len(await body_of(Sender(b" " * 65536).request())) == 65536


@pytest.mark.parametrize("headers", [{"content_type": ""}, {"content_type": "text/json"}, {"content_encoding": "br"}])
async def test_nothing_but_plain_json(headers: dict[str, str]) -> None:
    sender = Sender(b"{}")
    with pytest.raises(UnsupportedMediaType):
        await body_of(sender.request(**headers))
    assert sender.taken == 0


@pytest.mark.parametrize("last", ["gone", "silent"])
async def test_a_body_that_does_not_arrive(last: str) -> None:
    with pytest.raises(TooSlow):
        await body_of(Sender(b"{", last=last).request(), timeout_s=0.05)
