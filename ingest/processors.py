"""The stages as services of Faust apps. This is the only module that knows Faust.

Nothing is an agent yet: an agent loses the event on which it raises, so each one has to catch everything itself, and
the streams of low rate that agents are for (hits, reviews) do not exist so far.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
import structlog
from aiokafka.errors import KafkaConnectionError

from ingest.adapters.broker import MECHANISM, Broker
from ingest.errors import Unavailable

LET_GO_S: Final = 10.0
"""How long an app may take to end once its work has, or was given up: its clients wait for brokers that are gone."""

_LOG: Final = structlog.get_logger()


class _App(faust.App):
    """A Faust app without a consumer, a web server, tables, or a folder for them."""

    # No consumer group of Faust's own: it would be waited for at start, for a whole session after a kill, and would
    # leave a topic behind that nobody declared. The constructor takes no such argument (it ignores it).
    producer_only = True

    def _create_directories(self) -> None:
        """Make none: there are no tables."""


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
    app = _app(name, broker)
    app.service(_service(work, stop, ended))
    try:
        await app.start()
        await _until(ended, stop, drain_s)
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    finally:
        await _end(app)


async def _end(app: faust.App) -> None:
    """Stop an app. Its own stop takes no cancellation, so it is left behind if it does not end."""
    stopping = asyncio.create_task(app.stop())
    done, _ = await asyncio.wait({stopping}, timeout=LET_GO_S)
    if not done:
        _LOG.warning("left_behind", reason="the app did not end in time")
    else:
        stopping.result()


def _app(name: str, broker: Broker) -> _App:
    return _App(
        f"platetrail-{name}",
        broker=[f"kafka://{address}" for address in broker.bootstrap.split(",")],
        broker_credentials=_credentials(broker),
        web_enabled=False,  # its server has no authentication
        worker_redirect_stdouts=False,
        stream_wait_empty=True,
        autodiscover=False,
    )


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
