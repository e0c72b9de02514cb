"""Pushing over HTTP, exactly as cameras do: each with its own key, batch after batch, again when told to.

A camera sends one batch at a time, in order. 503 means "send all of it again", which is harmless: the gateway gives
each message the same event id every time.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import httpx
import msgspec

from services.simulate.misreads import Read

PATH: Final = "/v1/detections"
BATCH: Final = 100
CAMERAS_AT_ONCE: Final = 8
TIMEOUT_S: Final = 30.0
PATIENCE_S: Final = 120.0
"""For how long, in all, one batch is sent again before the push gives up."""

WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 15.0
COME_AGAIN: Final = frozenset({429, 503})

Answers = dict[int, tuple[str, uuid.UUID | None]]
"""What the gateway said of each read, by the read's number: status and event id."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a push has come: reads answered for, of all; and how often a batch had to be sent again."""

    done: int
    total: int
    again: int


class Refused(Exception):
    """The gateway refused a batch for good; `status` is the HTTP status, `camera_id` whose batch it was."""

    def __init__(self, camera_id: str, status: int) -> None:
        super().__init__(f"the gateway refused a batch of {camera_id} with {status}")
        self.camera_id = camera_id
        self.status = status


class GaveUp(Exception):
    """The gateway could not be reached, or said 503, for longer than a batch is kept."""


class Unanswered(Exception):
    """The gateway's answer does not account for each item of the batch exactly once."""


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    status: str
    event_id: uuid.UUID | None = None
    reason: str | None = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    accepted: int
    items: list[_Item]


class Pusher:
    """Pushes the reads of many cameras over one HTTP client, a few cameras at a time.

    `keys` maps camera ids to their keys. The client's base URL is the gateway's; closing it is the caller's business.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        keys: Mapping[str, str],
        *,
        batch: int = BATCH,
        at_once: int = CAMERAS_AT_ONCE,
        patience_s: float = PATIENCE_S,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._batch = batch
        self._slots = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self._progress = progress
        self._answers: Answers = {}
        self._total = 0
        self._again = 0

    async def push(self, reads: Sequence[Read]) -> Answers:
        """Push all reads and return what the gateway said of each.

        Raises KeyError if a camera has no key, and Refused, GaveUp or Unanswered for the first batch that fails; the
        other cameras are then stopped.
        """
        by_camera: dict[str, list[Read]] = {}
        for read in reads:
            by_camera.setdefault(read.camera_id, []).append(read)
        for camera_id in by_camera:
            if camera_id not in self._keys:
                raise KeyError(camera_id)
        self._answers, self._total, self._again = {}, len(reads), 0
        try:
            async with asyncio.TaskGroup() as group:
                for camera_id, own in by_camera.items():
                    group.create_task(self._camera(camera_id, own))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return self._answers

    async def _camera(self, camera_id: str, reads: list[Read]) -> None:
        async with self._slots:
            for first in range(0, len(reads), self._batch):
                batch = reads[first : first + self._batch]
                answer = await self._send(camera_id, batch)
                self._note(batch, answer)

    async def _send(self, camera_id: str, batch: list[Read]) -> _Answer:
        """Send one batch until it is answered for."""
        body = msgspec.json.encode([read.detection for read in batch])
        headers = {"Authorization": f"Bearer {self._keys[camera_id]}", "Content-Type": "application/json"}
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        while True:
            wait_s = WAIT_S
            try:
                response = await self._client.post(PATH, content=body, headers=headers, timeout=TIMEOUT_S)
            except httpx.TransportError:
                # No answer: it may have arrived or not, and sending it again is right in both cases.
                pass
            else:
                if response.status_code not in COME_AGAIN:
                    return _understood(camera_id, response, len(batch))
                wait_s = _retry_after_s(response)
            if loop.time() + wait_s > give_up:
                raise GaveUp(f"the gateway took no batch of {camera_id} for {self._patience_s:.0f} s")
            self._again += 1
            self._tell()
            await asyncio.sleep(wait_s)

    def _note(self, batch: list[Read], answer: _Answer) -> None:
        for item in answer.items:
            self._answers[batch[item.index].number] = (item.status, item.event_id)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(Progress(done=len(self._answers), total=self._total, again=self._again))


def _understood(camera_id: str, response: httpx.Response, size: int) -> _Answer:
    """Return the answer to a batch of that size, or raise."""
    if response.status_code != httpx.codes.ACCEPTED:
        raise Refused(camera_id, response.status_code)
    answer = msgspec.json.decode(response.content, type=_Answer)
    if sorted(item.index for item in answer.items) != list(range(size)):
        raise Unanswered(f"the answer to {camera_id} does not list each of {size} items once")
    return answer


def _retry_after_s(response: httpx.Response) -> float:
    """Return the seconds to wait; the header's form with a date is not used by this project."""
    said = response.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT_S) if said.isdecimal() else WAIT_S
