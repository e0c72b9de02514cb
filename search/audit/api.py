"""The auditors' routes: who asked what, and why. Reading the log is itself an entry, durable before anything is read.

Users and cases never stand in a URL: filters on them go into the body of `POST /v1/audit/entries/query`.
"""

import base64
import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from schemas.entries import Entry, Kind, Lookup, disclose
from schemas.flaws import NOT_A_TIME, sentence
from schemas.pointers import pointer
from schemas.problems import MEDIA_TYPE, Problem
from schemas.queries import Asker, PurposeCode
from search.audit.errors import LogError, Unopened
from search.audit.http import Unread, answer_problem, read_body
from search.audit.lookups import Lookups
from search.audit.ports import Log, Reader, Record, Selection
from search.audit.secrets import Opener

MAX_LIMIT: Final = 500
MAX_BODY_BYTES: Final = 16 * 1024

Identify = Callable[[str | None], Asker | None]
"""Tells whom an Authorization header names; None if it names nobody."""

_Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Agency = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def _written(value: Any) -> datetime:
    """Take a time as it is documented: pydantic itself would take a number for seconds since 1970."""
    at = None
    if isinstance(value, str) and _BEGINS_A_TIME.match(value):
        with contextlib.suppress(ValueError):
            at = datetime.fromisoformat(value.upper())
    if at is None or not 1970 <= at.year < 9999:
        raise PydanticCustomError(NOT_A_TIME, "not a time as it is documented")
    return at


_BEGINS_A_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", re.ASCII)
_Time = Annotated[AwareDatetime, BeforeValidator(_written)]


class Filter(BaseModel):
    """Which entries: all that is set must hold. `from` is inside, `to` is not; pages go on after index `after`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Kind | None = Field(None, description="intent, page, outcome, denial, failure, abandoned, camera, …")
    agency: _Agency | None = Field(None, description="the agency of whoever asked or changed something")
    purpose: PurposeCode | None = Field(None, description="the purpose that an intent gives")
    from_: _Time | None = Field(None, alias="from", description="stored at or after; RFC 3339 with offset")
    to: _Time | None = Field(None, description="stored before; RFC 3339 with offset")
    after: int = Field(-1, ge=-1, le=2**53 - 1, description="the last index of the page before: its `next`")
    limit: int = Field(100, ge=1, le=MAX_LIMIT)


class PrivateFilter(Filter):
    """A filter with what may not stand in a URL."""

    user: _Name | None = Field(None, description="who asked, as the token named them")
    case: _Name | None = Field(None, description="the case number that the question was asked for")


_FIELDS: Final = tuple(field.alias or name for name, field in PrivateFilter.model_fields.items())


class End(BaseModel):
    """The entry that ended an intent or page."""

    index: int
    kind: str


class Shown(BaseModel):
    """One entry. `public` is its leaf without the commitments, `leaf` (base64) the bytes that were hashed.

    `disclosures` are the values that the leaf commits to, each checked against its commitment. `secrets` is `altered`
    if they could not be opened or do not match: then there are none, and the log wants verifying.
    """

    index: int
    kind: str
    at: datetime
    public: dict[str, Any]
    disclosures: dict[str, Any]
    secrets: Literal["none", "opened", "altered"]
    end: End | None
    leaf: str


class Entries(BaseModel):
    """A page of the log. `read` is the index of the entry that records this very reading."""

    entries: list[Shown]
    next: int | None
    read: int


class Auditor:
    """What an auditor may do with the log."""

    def __init__(
        self, log: Log, reader: Reader, opener: Opener, lookups: Lookups, clock: Callable[[], datetime] | None = None
    ) -> None:
        """Record on `log`, read with `reader`, open secrets, and find people and cases by their look-ups."""
        self._log = log
        self._reader = reader
        self._opener = opener
        self._lookups = lookups
        self._clock = clock or (lambda: datetime.now(UTC))

    async def entries(self, asker: Asker, wanted: Filter) -> Entries:
        """Record that the log is read, then read it. Raises LogUnavailable: nothing was read."""
        read = await self._log.append(self._log_read(asker, wanted))
        records = await self._reader.entries(self._selection(wanted))
        more = len(records) == wanted.limit
        return Entries(
            entries=[self._shown(record) for record in records],
            next=records[-1].index if more else None,
            read=read.index,
        )

    def _log_read(self, asker: Asker, wanted: Filter) -> Entry:
        asked = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
        return Entry(
            kind="log_read",
            public={
                "type": "entries",
                "at": _iso(self._clock()),
                "agency": asker.agency,
                "filters": sorted(asked.keys() - {"after", "limit"}),
            },
            disclosures=(disclose("person", asker.person), disclose("filters", asked)),
            lookups=(self._lookups.lookup("person", asker.person),),
        )

    def _selection(self, wanted: Filter) -> Selection:
        lookups: list[Lookup] = []
        if isinstance(wanted, PrivateFilter):
            if wanted.user is not None:
                lookups.append(self._lookups.lookup("person", wanted.user))
            if wanted.case is not None:
                lookups.append(self._lookups.lookup("case", wanted.case))
        return Selection(
            limit=wanted.limit,
            after=wanted.after,
            kind=wanted.kind,
            agency=wanted.agency,
            purpose=wanted.purpose,
            from_=wanted.from_,
            to=wanted.to,
            lookups=tuple(lookups),
        )

    def _shown(self, record: Record) -> Shown:
        public = _body(record.leaf)
        committed = bool(public.pop("commitments", None))
        disclosures: dict[str, Any] = {}
        secrets: Literal["none", "opened", "altered"] = "none"
        if committed or record.sealed is not None:
            try:
                disclosures, secrets = self._open(record), "opened"
            except Unopened:
                secrets = "altered"
        return Shown(
            index=record.index,
            kind=str(public.pop("kind", "")),
            at=record.at,
            public=public,
            disclosures=disclosures,
            secrets=secrets,
            end=None if record.end is None else End(index=record.end, kind=record.end_kind or ""),
            leaf=base64.b64encode(record.leaf).decode(),
        )

    def _open(self, record: Record) -> dict[str, Any]:
        if record.data_key is None or record.wrapped is None or record.sealed is None:
            raise Unopened("missing")
        found = self._opener.open(record.data_key, record.wrapped, record.sealed, record.leaf)
        return {item.field: item.value for item in found}


def _body(leaf: bytes) -> dict[str, Any]:
    """Return a leaf's body; of one that somebody made unreadable, nothing."""
    try:
        body = orjson.loads(leaf)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def router(auditor: Auditor, identify: Identify) -> APIRouter:
    """Return the routes, for role auditor. `identify` is handed in by the service: it knows tokens."""
    routes = APIRouter(
        prefix="/v1/audit",
        tags=["auditors"],
        responses={status: _DOCUMENTED[status] for status in (401, 403, 422, 503)},
        dependencies=[Depends(_SCHEME)],
    )

    def asker(request: Request) -> Asker:
        found = identify(request.headers.get("authorization"))
        if found is None:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        if "auditor" not in found.roles:
            raise HTTPException(403)
        return found

    who = Annotated[Asker, Depends(asker, use_cache=False)]

    @routes.get("/entries", response_model=Entries, summary="Read the log, oldest entry first.")
    async def entries(who: who, wanted: Annotated[Filter, Query()]) -> Any:
        """Filter by time, agency, purpose and kind. This reading is recorded before anything is read."""
        return await _answer(auditor, who, wanted)

    @routes.post(
        "/entries/query",
        response_model=Entries,
        summary="Read the log, filtered by user or case as well.",
        responses={status: _DOCUMENTED[status] for status in (408, 413, 415)},
        openapi_extra=_BODY,
    )
    async def query(who: who, request: Request) -> Any:
        """As `GET /v1/audit/entries`, with the filter in the body, since users and cases may not stand in a URL."""
        try:
            wanted = PrivateFilter.model_validate_json(await read_body(request, MAX_BODY_BYTES), strict=True)
        except Unread as unread:
            return answer_problem(Problem(status=unread.status, detail=unread.detail))
        except ValidationError as error:
            return _unusable(error)
        return await _answer(auditor, who, wanted)

    return routes


async def _answer(auditor: Auditor, asker: Asker, wanted: Filter) -> Entries | Response:
    try:
        return await auditor.entries(asker, wanted)
    except LogError:
        problem = Problem(status=503, detail="The log cannot be read now; nothing was read.")
        return answer_problem(problem, {"Retry-After": "1"})


def _unusable(error: ValidationError) -> Response:
    """Answer what is wrong where, quoting nothing: of a field that we do not know, not even its name."""
    errors: tuple[dict[str, str | int], ...] = tuple(
        {"pointer": pointer(item["loc"], _FIELDS), "detail": sentence(item, _FIELDS)}
        for item in error.errors(include_url=False, include_input=False)
    )
    return answer_problem(Problem(status=422, detail="The filter does not have the documented shape.", errors=errors))


def _documented(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}


_SCHEME: Final = HTTPBearer(scheme_name="bearer", description="A token with the role auditor.", auto_error=False)
"""For the documentation alone: `identify` is what checks."""

_DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {
    401: _documented("No valid bearer token."),
    403: _documented("The token has not the role auditor."),
    408: _documented("The body did not arrive."),
    413: _documented("The body is too large."),
    415: _documented("The body is not application/json."),
    422: _documented("The filter cannot be used: `errors` says where."),
    503: _documented("The log did not answer; nothing was read. Try again after Retry-After seconds."),
}

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": PrivateFilter.model_json_schema()}},
    }
}
