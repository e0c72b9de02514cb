"""The batch stages, each as the service of a Faust app."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from aiokafka.errors import KafkaConnectionError

from ingest.adapters.broker import Broker
from ingest.errors import Unavailable
from ingest.processors.app import App, app_settings, end_app, first
from ingest.runner import Stopped, unless_stopped


class _StageApp(App):
    """One without a consumer."""

    # No consumer group of Faust's own: it would be waited for at start, for a whole session after a kill, and would
    # leave a topic behind that nobody declared. The constructor takes no such argument (it ignores it).
    producer_only = True


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
    app = _StageApp(**app_settings(name, broker))
    app.service(_service(work, stop, ended))
    try:
        await unless_stopped(app.start(), stop)
        await _until(ended, stop, drain_s)
    except Stopped:
        pass  # there is no broker, nor anything at hand
    except KafkaConnectionError as error:
        raise broker.unreachable(error) from None
    finally:
        stopping = await end_app(app)
        if stopping.done():
            stopping.result()


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
    await first(ended, stop)
    await asyncio.wait({ended}, timeout=drain_s)
    if not ended.done():
        raise Unavailable(f"the batches at hand could not be finished in {drain_s:g} s; they will be done again")
    ended.result()
