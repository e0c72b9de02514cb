"""Faust's consumer, corrected: what it reads, how far it commits, and that it says when its group has put it out."""

from collections import defaultdict
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport.drivers import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from ingest.adapters.coordinators import heed
from ingest.processors.app import App


class _Reading(AIOKafkaConsumerThread):
    """A consumer that is given what is committed alone: Faust has no setting for it beside its own transactions.

    It begins at its group's offsets, and nowhere else, however soon after its broker's start it asks for them.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        heed(consumer)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - before it is started: there is no other way in
        return consumer

    def put_out_by(self) -> BaseException | None:
        """Return what has put this member out of its group, or None while it is in it, or on its way.

        The client keeps that for whoever asks it for records; Faust asks its fetcher, past it, and would wait for good.
        """
        group = getattr(self._consumer, "_coordinator", None)  # none before it is started
        if not isinstance(group, GroupCoordinator):
            return None
        task = group._coordination_task  # noqa: SLF001 - asking it in public would take the error from Faust
        error: BaseException | None = group._pending_exception  # noqa: SLF001 - as above: it is raised once
        return task.exception() if error is None and task.done() and not task.cancelled() else error


class _Offset(int):
    """An offset that is true also if it is 0."""

    def __bool__(self) -> bool:
        return True


class _Read(defaultdict[Any, int | None]):
    """How far partitions were read; Faust takes a partition of which the first record was read for one that was not."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __setitem__(self, at: Any, offset: int | None) -> None:
        super().__setitem__(at, None if offset is None else _Offset(offset))


class _Consumer(aiokafka.Consumer):
    """One that commits past what is no record: the ends of transactions, and what was undone."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._read_offset = _Read()

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        # Faust counts the record behind a gap to it, and so twice: a commit would end there, however many come after.
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_consumer_thread(self) -> _Reading:
        return _Reading(self, loop=self.loop, beacon=self.beacon)


class _Transport(aiokafka.Transport):
    Consumer = _Consumer


class AgentApp(App):
    """An app with that consumer."""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def put_out_by(self) -> BaseException | None:
        """Return what has put this app out of its group, or None while it is in it, or on its way."""
        thread = getattr(self._consumer, "_thread", None)  # the property would make one
        return thread.put_out_by() if isinstance(thread, _Reading) else None
