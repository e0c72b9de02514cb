"""The other yardstick: the gateway's web server, which reads a body, answers 202, and does nothing."""

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from services.observe import run_http
from services.settings import Settings


class Idle(Starlette):
    """An application that has no routes to look for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; begin and end as any application does."""
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def build(_: Settings) -> Starlette:
    """Return the application."""
    return Idle()


if __name__ == "__main__":
    run_http("idle", build)
