"""What goes wrong in search, sorted by what the caller must do about it.

No text of an error quotes the request: plates, tokens, users and case numbers stay out of answers and logs.
"""

from typing import ClassVar, Final

import msgspec

from schemas.problems import Problem


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a body: where (JSON pointer, RFC 6901), and what would be right."""

    pointer: str
    detail: str


class SearchError(Exception):
    """Base of the errors that have an answer of their own. `detail` is text of ours, never of the request's."""

    status: ClassVar[int] = 500

    def __init__(self, detail: str) -> None:
        """Know what to tell the caller."""
        super().__init__(detail)
        self.detail: Final = detail

    def problem(self) -> Problem:
        """Return the problem document (RFC 9457) that answers the request."""
        return Problem(status=self.status, detail=self.detail)

    def headers(self) -> dict[str, str]:
        """Return the headers that go with the answer."""
        return {}


class NotAuthenticated(SearchError):
    """Come back with a valid token."""

    status = 401

    def __init__(self, detail: str = "A valid bearer token of the issuer is needed.") -> None:
        """Say no more than that a token is needed: why one failed helps whoever forges them."""
        super().__init__(detail)

    def headers(self) -> dict[str, str]:
        """Return the challenge (RFC 6750)."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(SearchError):
    """Do not repeat this: a role or a rule is against it."""

    status = 403


class NotFound(SearchError):
    """Nothing of that name is yours."""

    status = 404


class Conflict(SearchError):
    """Something else holds the name or key: choose another, or wait. `retry_after_s` is set if waiting helps."""

    status = 409

    def __init__(self, detail: str, retry_after_s: int | None = None) -> None:
        """Know whether waiting helps, and how long, in seconds."""
        super().__init__(detail)
        self.retry_after_s: Final = retry_after_s

    def headers(self) -> dict[str, str]:
        """Return Retry-After if waiting helps."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class TooLarge(SearchError):
    """Send less."""

    status = 413


class Invalid(SearchError):
    """Mend the request: each flaw says where and how."""

    status = 422

    def __init__(self, *flaws: Flaw, detail: str = "The question cannot be used as it stands.") -> None:
        """Know every flaw that was found, in the order of the body."""
        super().__init__(detail)
        self.flaws: Final = flaws

    def problem(self) -> Problem:
        """Return the problem document with one error a flaw."""
        errors: tuple[dict[str, str | int], ...] = tuple(
            {"pointer": flaw.pointer, "detail": flaw.detail} for flaw in self.flaws
        )
        return Problem(status=self.status, detail=self.detail, errors=errors)


class Unavailable(SearchError):
    """Try again, `retry_after_s` seconds later: nothing was read, or nothing was changed."""

    status = 503

    def __init__(self, detail: str = "The service cannot answer now.", retry_after_s: int = 1) -> None:
        """Know when to try again."""
        super().__init__(detail)
        self.retry_after_s: Final = retry_after_s

    def headers(self) -> dict[str, str]:
        """Return Retry-After."""
        return {"Retry-After": str(self.retry_after_s)}
