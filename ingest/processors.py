"""The stages as services of Faust apps, and agents for events of low rate. This is the only module that knows Faust.

An agent of Faust's loses the event on which it raises, and takes one event after another, two hundred times slower than
a batch stage. So agents are for streams that people could read along, and `run_agent` catches everything for them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
import structlog
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaConnectionError, KafkaError
from faust.transport.drivers import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from ingest.adapters.broker import MECHANISM, Broker
from ingest.adapters.membership import refused
from ingest.adapters.partitions import Comings
from ingest.errors import IngestError, Misconfigured, Unavailable

LET_GO_S: Final = 10.0
"""How long an app may take to end once its work has, or was given up: its clients wait for brokers that are gone."""

_LOG: Final = structlog.get_logger()

LOOK_S: Final = 0.5
"""How often an agent's place in its group is looked at."""

COMMIT_S: Final = 1.0
"""How often an agent's app commits: what a kill makes it do again is the events of so long."""

Event = bytes | None
"""What an agent is given: a record's value as it stands in the topic."""


class _Reading(AIOKafkaConsumerThread):
    """A consumer that is given what is committed alone: Faust has no setting for it beside its own transactions."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - before it is started: there is no other way in
        return consumer

    def lost(self) -> BaseException | None:
        """Return what has put this member out of its group, or None while it is in it, or on its way.

        The client keeps that for whoever asks it for records; Faust asks its fetcher, past it, and would wait for good.
        """
        group = getattr(self._consumer, "_coordinator", None)  # none before it is started
        if not isinstance(group, GroupCoordinator):
            return None
        task = group._coordination_task  # noqa: SLF001 - asking it in public would take the error from Faust
        error: BaseException | None = group._pending_exception  # noqa: SLF001
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


class _App(faust.App):
    """A Faust app without a web server, tables, or a folder for them."""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


class _StageApp(_App):
    """One without a consumer, too."""

    # No consumer group of Faust's own: it would be waited for at start, for a whole session after a kill, and would
    # leave a topic behind that nobody declared. The constructor takes no such argument (it ignores it).
    producer_only = True


class _Raw(faust.Schema[Any, Any]):
    """Records as they are. Faust's own way loses one that it cannot decode, and logs what is in it."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the key's bytes."""
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the value's bytes, or None where there is none."""
        return message.value


async def run(
    name: str,
    broker: Broker | str,
    work: Callable[[asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
    *,
    drain_s: float,
) -> None:
    """Run `work` (a stage's `run`) as the service of a Faust app, until `stop` is set and the batches at hand are done.

    Raises what ended the work, or Unavailable if the broker is not there at the start, or if the batches are not done
    `drain_s` seconds after `stop`. What does not let go `LET_GO_S` seconds after that is left behind. Signals are the
    caller's.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    broker = Broker.of(broker)
    app = _StageApp(**_settings(name, broker))
    app.service(_service(work, stop, ended))
    try:
        await app.start()
        await _until(ended, stop, drain_s)
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    finally:
        stopping = await _end(app)
        if stopping.done():
            stopping.result()


async def _end(app: faust.App) -> "asyncio.Task[None]":
    """Stop an app, and return its end. Its own stop takes no cancellation: it is left behind if it takes too long."""
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait({stopping}, timeout=LET_GO_S)
    if not stopping.done():
        stopping.cancel()
        _LOG.warning("left_behind", reason="the app did not end in time")
    return stopping


Take = Callable[[Event], Awaitable[None]]
SetAside = Callable[[Event, Exception], Awaitable[None]]


async def run_agent(
    name: str,
    broker: Broker | str,
    topic: str,
    take: Take,
    set_aside: SetAside,
    stop: asyncio.Event,
    *,
    instance: str,
    session_timeout_s: float = 30.0,
    join_s: float = 120.0,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Give every record of a topic to `take`, one after another, until `stop` is set; each at least once.

    A record on which it raises goes to `set_aside`, and the next one is taken. The offset moves past a record after
    either returned. If `set_aside` raises, too, this does, and whoever starts again is given the record again. The
    topic must exist. `ready` is called when the group has given this worker its partitions, of which there may be none.

    Raises Unavailable if there is no broker at the start, if the group takes nobody in for `join_s`, if Faust gives up
    by itself, or if it can't commit within `LET_GO_S` at the end, which happens without a broker. Raises Misconfigured
    if another worker has the same `instance`, or the broker does not let this one read. Signals are the caller's.
    """
    broker = Broker.of(broker)
    app = _App(**_settings(name, broker), **_group(name, instance, session_timeout_s))
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    app.agent(app.topic(topic, schema=_Raw()), name=name)(_agent(take, set_aside, ended))
    started = asyncio.create_task(_joined(app, ready, ended))
    try:
        await _first(started, ended, stop, _until_lost(app), limit_s=join_s)
        if not (started.done() or stop.is_set()):
            raise Unavailable("the broker takes nobody into the group")
        await _first(app.wait_until_stopped(), ended, stop, _until_lost(app))
        if not stop.is_set():
            raise _crashed(app)
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    finally:
        started.cancel()
        await asyncio.wait({started})
        # An event that could not be done will not be done by waiting for it either.
        app.conf.stream_wait_empty = not ended.done()
        stopping = await _end(app)
    if not stopping.done():
        raise Unavailable("the broker did not answer at the end; what was not committed will be done again")
    if (failure := stopping.exception()) is not None:
        # Nothing depends on it: what was not committed is done again.
        _LOG.warning("left_behind", reason=type(failure).__name__)


async def _joined(app: _App, ready: Callable[[], None], ended: asyncio.Future[None]) -> None:
    """Start an app, and return once its group has given it partitions. They may not come and go without an end."""
    joined = asyncio.Event()
    comings = Comings()

    async def assigned(_: Any, /, *given: Any, **__: Any) -> None:
        _LOG.info("assigned", partitions=sorted(at.partition for at in given[0]))
        joined.set()
        ready()
        comings.note(given[0])
        try:
            comings.check()
        except Misconfigured as error:
            if not ended.done():
                ended.set_exception(error)

    app.on_partitions_assigned.connect(assigned, weak=False)
    await app.start()
    await joined.wait()


async def _until_lost(app: _App) -> None:
    """Raise once the app has lost its place in its group: Misconfigured or Unavailable."""
    while True:
        thread = getattr(app._consumer, "_thread", None)  # noqa: SLF001 - the property would make one
        if isinstance(thread, _Reading) and isinstance(error := thread.lost(), KafkaError):
            raise refused(error)
        await asyncio.sleep(LOOK_S)


def _crashed(app: _App) -> IngestError:
    """Return an error of ours for what has ended an app that nobody has stopped."""
    if isinstance(app.crash_reason, KafkaError):
        return refused(app.crash_reason)
    why = "" if app.crash_reason is None else f" with {type(app.crash_reason).__name__}"
    return Unavailable(f"the agent's consumer has ended{why}; what was not committed will be done again")


def _agent(take: Take, set_aside: SetAside, ended: asyncio.Future[None]) -> Callable[[Any], Awaitable[None]]:
    async def agent(stream: Any) -> None:
        # Without noack(), an event counts as done when the loop is left in any way, by an exception, too.
        async for event in stream.noack().events():
            try:
                await _given(event.message.value, take, set_aside)
            except Exception as error:  # noqa: BLE001 - it is raised again where the process ends
                if not ended.done():
                    ended.set_exception(error)
                # Never on to the next event: once that were done, Faust would commit past this one, too.
                await asyncio.Event().wait()
            await stream.ack(event)

    return agent


async def _given(value: Event, take: Take, set_aside: SetAside) -> None:
    try:
        await take(value)
    except Exception as error:  # noqa: BLE001 - one event must not stop all others
        await set_aside(value, error)


async def _first(*awaited: Any, limit_s: float | None = None) -> None:
    """Return once one of these has happened, or the time is up. Raises what the one that happened raised."""
    tasks = [asyncio.ensure_future(one.wait() if isinstance(one, asyncio.Event) else one) for one in awaited]
    try:
        done, _ = await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, one in zip(tasks, awaited, strict=True):
            if task is not one:
                task.cancel()
    for task in done:
        task.result()


def _settings(name: str, broker: Broker) -> dict[str, Any]:
    return {
        "id": f"platetrail-{name}",
        "broker": [f"kafka://{address}" for address in broker.bootstrap.split(",")],
        "broker_credentials": _credentials(broker),
        "web_enabled": False,  # its server has no authentication
        "worker_redirect_stdouts": False,
        "stream_wait_empty": True,
        "autodiscover": False,
    }


def _group(name: str, instance: str, session_timeout_s: float) -> dict[str, Any]:
    return {
        # A static member has its partitions back at once after a kill, instead of after its session.
        "consumer_group_instance_id": f"platetrail-{name}-{instance}",
        "broker_session_timeout": session_timeout_s,
        "broker_heartbeat_interval": session_timeout_s / 10,
        "broker_commit_interval": COMMIT_S,
        "consumer_auto_offset_reset": "earliest",
        # Partitions are given out by turns; else it would be by Faust's own protocol, which is for tables.
        "table_standby_replicas": 0,
        # No topic that nobody declared: neither one to elect a leader, nor any other.
        "topic_disable_leader": True,
        "topic_allow_declare": False,
    }


def _credentials(broker: Broker) -> Any:
    if broker.security == "PLAINTEXT":
        return None
    return faust.SASLCredentials(
        username=broker.user, password=broker.password, mechanism=MECHANISM, ssl_context=broker.ssl_context()
    )


def _service(work: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event, ended: asyncio.Future[None]) -> Any:
    class BatchStage(faust.Service):
        """Runs the stage. A service that merely returns or raises leaves an idle app: `ended` tells the outside."""

        @faust.Service.task
        async def _work(self) -> None:
            try:
                await work(stop)
            except asyncio.CancelledError:
                ended.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - it is raised again where the process ends
                ended.set_exception(error)
            else:
                ended.set_result(None)

    return BatchStage


async def _until(ended: asyncio.Future[None], stop: asyncio.Event, drain_s: float) -> None:
    stopping = asyncio.create_task(stop.wait())
    waited_for: set[asyncio.Future[Any]] = {ended, stopping}
    try:
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await asyncio.wait({ended}, timeout=drain_s)
    finally:
        stopping.cancel()
    if not ended.done():
        raise Unavailable(f"the batches at hand could not be finished in {drain_s:g} s; they will be done again")
    ended.result()
