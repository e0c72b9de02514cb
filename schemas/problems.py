"""Problem details for HTTP (RFC 9457): what every service answers when it does not do what was asked.

A problem never quotes the request: no plate, key, token, user or case number may stand in an error's text.
"""

from typing import Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"

TITLES: Final[dict[int, str]] = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not permitted",
    404: "No such resource",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Unusable content",
    429: "Too many requests",
    431: "Head too large",
    500: "Internal error",
    503: "Temporarily unavailable",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document. `type` is about:blank, so that the status says what kind of problem it is.

    `errors` holds one object for each thing that was wrong: `pointer` (RFC 6901, into the body) and `detail`.
    """

    status: int
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    errors: tuple[dict[str, str | int], ...] = ()

    def body(self) -> bytes:
        """Return the document as JSON."""
        full = msgspec.structs.replace(self, title=self.title or TITLES.get(self.status, "Error"))
        return msgspec.json.encode(full)
