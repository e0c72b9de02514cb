"""The other yardstick: the gateway's web server, which reads a body, answers 202, and does nothing."""

from typing import Any

from services.observe import run_http
from services.settings import Settings


def build(_: Settings) -> Any:
    """Return the application."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return answer


if __name__ == "__main__":
    run_http("idle", build)
