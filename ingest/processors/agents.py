"""Agents: events of low rate, taken one after another."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError

from ingest.adapters.broker import Broker
from ingest.adapters.membership import refused
from ingest.adapters.partitions import Comings
from ingest.adapters.probe import tells
from ingest.errors import IngestError, Misconfigured, Unavailable
from ingest.processors.app import LET_GO_S, app_settings, end_app, first
from ingest.processors.consumer import AgentApp

LOOK_S: Final = 0.5
"""How often an agent's place in its group is looked at."""

WATCH_S: Final = 2.0
"""How often it is asked whether the broker is still there."""

COMMIT_S: Final = 1.0
"""How often an agent's app commits: what a kill makes it do again is the events of so long."""

Event = bytes | None
"""What an agent is given: a record's value as it stands in the topic."""

Take = Callable[[Event], Awaitable[None]]
SetAside = Callable[[Event, Exception], Awaitable[None]]

_LOG: Final = structlog.get_logger()


class _Raw(faust.Schema[Any, Any]):
    """Records as they are. Faust's own way loses one that it cannot decode, and logs what is in it."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the key's bytes."""
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the value's bytes, or None where there is none."""
        return message.value


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
    outage_s: float = 120.0,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Give every record of a topic to `take`, one after another, until `stop` is set; each at least once.

    A record on which it raises goes to `set_aside`, and the next one is taken. The offset moves past a record after
    either returned. If `set_aside` raises, too, this does, and whoever starts again is given the record again. The
    topic must exist. `ready` is called when the group has given this worker its partitions, of which there may be none.

    Raises Unavailable if there is no broker at the start, if it does not answer, or its group takes nobody in, for
    `outage_s`, if Faust gives up by itself, if it can't commit within `LET_GO_S` at the end, which happens without a
    broker, or if it loses its place in the group. Raises Misconfigured if another worker has the same `instance`, or if
    the broker does not let this one read. Signals are the caller's.
    """
    broker = Broker.of(broker)
    app = AgentApp(**app_settings(name, broker), **_group(name, instance, session_timeout_s))
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    app.agent(app.topic(topic, schema=_Raw()), name=name)(_agent(take, set_aside, ended))
    started = asyncio.create_task(_joined(app, ready, ended))
    try:
        await first(started, ended, stop, _until_put_out(app), limit_s=outage_s)
        if not (started.done() or stop.is_set()):
            await tells(broker, topic)
            raise Unavailable("the broker takes nobody into the group")
        gone = _until_gone(broker, topic, outage_s)
        await first(app.wait_until_stopped(), ended, stop, _until_put_out(app), gone)
        if not stop.is_set():
            raise _crashed(app)
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    finally:
        has_joined = started.done()
        started.cancel()
        await asyncio.wait({started}, timeout=LET_GO_S)
        if started.done() and not started.cancelled():
            started.exception()  # of what was called off: nobody minds
        # An event that could not be done will not be done by waiting for it either.
        app.conf.stream_wait_empty = not ended.done()
        stopping = await end_app(app)
    if not stopping.done():
        if has_joined:
            raise Unavailable("the broker did not answer at the end; what was not committed will be done again")
        return
    if (failure := stopping.exception()) is not None:
        # Nothing depends on it: what was not committed is done again.
        _LOG.warning("left_behind", reason=type(failure).__name__)


async def _joined(app: AgentApp, ready: Callable[[], None], ended: asyncio.Future[None]) -> None:
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


async def _until_put_out(app: AgentApp) -> None:
    """Raise once the app has lost its place in its group: Misconfigured or Unavailable."""
    while True:
        if (error := app.put_out_by()) is not None:
            raise refused(error) if isinstance(error, KafkaError) else error
        await asyncio.sleep(LOOK_S)


async def _until_gone(broker: Broker, topic: str, limit_s: float) -> None:
    """Raise once the broker has not told of the topic for so long, and why: Faust would wait for good."""
    heard_s = time.monotonic()
    why: IngestError | None = None
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await tells(broker, topic)
        except (Misconfigured, Unavailable) as error:
            if why is None or isinstance(error, Misconfigured):  # what it answers says more than that it does not
                why = error
            if time.monotonic() - heard_s > limit_s:
                raise type(why)(f"{why}; what was not committed will be done again") from None
        else:
            heard_s, why = time.monotonic(), None


def _crashed(app: AgentApp) -> IngestError:
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
