"""HTTP to the services: a token with each request, and errors as one clear line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from services.cli.failures import REFUSED, UNAVAILABLE, USAGE, Failure

TIMEOUT_S: Final = 30.0
TOKEN_VARIABLE: Final = "PLATETRAIL_TOKEN"  # noqa: S105 - a name, no secret


class _Problem(msgspec.Struct):
    """What is used of a problem document (RFC 9457)."""

    title: str = ""
    detail: str = ""
    errors: list[dict[str, Any]] = []


class Refused(Failure):
    """The service refused: `said` is the reason in one line, `errors` each thing that it found wrong."""

    def __init__(self, said: str, line: str, errors: list[dict[str, Any]]) -> None:
        """Know the reason, with and without what was wrong in particular."""
        super().__init__(line, REFUSED)
        self.said: Final = said
        self.errors: Final = errors


class Service:
    """One service of a running installation. Use as a context manager."""

    def __init__(self, name: str, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Know the service's name (for errors), base URL and the caller's token; `transport` replaces the network."""
        self._name = name
        self._client = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}"},
            transport=transport,
        )

    def __enter__(self) -> "Service":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of a GET. Raises Failure unless the answer is a success."""
        return self._send("GET", path, params=dict(params or {}))

    def post(self, path: str, body: Any, *, accept: str = "application/json") -> bytes:
        """Return the body of the answer to a POST of a JSON value. Raises Failure unless it is a success."""
        headers = {"Content-Type": "application/json", "Accept": accept}
        return self._send("POST", path, content=msgspec.json.encode(body), headers=headers)

    def patch(self, path: str, changes: Any) -> bytes:
        """Return the body of the answer to a JSON merge patch. Raises Failure unless it is a success."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._send("PATCH", path, content=msgspec.json.encode(changes), headers=headers)

    def post_as(self, path: str, body: bytes, media_type: str, params: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of the answer to a POST of bytes. Raises Failure unless it is a success."""
        return self._send("POST", path, content=body, headers={"Content-Type": media_type}, params=dict(params or {}))

    def _send(self, method: str, path: str, **arguments: Any) -> bytes:
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            text = f"the {self._name} service does not answer ({type(error).__name__}): is its URL right, does it run?"
            raise Failure(text, UNAVAILABLE) from None
        if answer.is_success:
            return answer.content
        line = explain(self._name, answer)
        if answer.status_code >= 500:
            raise Failure(line, UNAVAILABLE)
        raise Refused(_first_words(self._name, answer), line, _problem(answer).errors)


def _problem(answer: httpx.Response) -> _Problem:
    try:
        return msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.DecodeError:
        return _Problem()


def _first_words(name: str, answer: httpx.Response) -> str:
    said = _problem(answer)
    return f"the {name} service answered {answer.status_code}: {said.detail or said.title or answer.reason_phrase}"


def explain(name: str, answer: httpx.Response) -> str:
    """Return an error answer as one line."""
    line = _first_words(name, answer)
    for one in _problem(answer).errors:
        place = str(one.get("pointer", "")).removeprefix("/").replace("/", ".")
        line += f" [{place}: {one.get('detail', '')}]" if place else f" [{one.get('detail', '')}]"
    if answer.status_code == 401:
        line += f" (the token comes from --token-file or {TOKEN_VARIABLE})"
    return line


def read_token(file: Path | None) -> str:
    """Return the caller's token from a file or the environment. Raises Failure if there is none."""
    try:
        text = file.read_text(encoding="ascii") if file else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"the token file cannot be read ({type(error).__name__})", USAGE) from None
    if not text.strip():
        raise Failure(f"no token: set {TOKEN_VARIABLE}, or name a file with --token-file", USAGE)
    return text.strip()
