"""How a process is seen and run: logs that hold no plate, problem answers, metrics, traces, and the HTTP servers."""

from services.observe.http import end_failed as end_failed
from services.observe.http import run_http as run_http
from services.observe.listener import CannotListen as CannotListen
from services.observe.listener import listening as listening
from services.observe.logs import configure_logging as configure_logging
from services.observe.logs import exception_names as exception_names
from services.observe.logs import telling as telling
from services.observe.measures import Families as Families
from services.observe.measures import Measures as Measures
from services.observe.measures import Pulse as Pulse
from services.observe.open_routes import OPEN_ROUTES as OPEN_ROUTES
from services.observe.open_routes import install_health as install_health
from services.observe.open_routes import install_metrics as install_metrics
from services.observe.problems import install_problems as install_problems
from services.observe.problems import install_shape_problems as install_shape_problems
from services.observe.problems import problem as problem
from services.observe.process import collect_seldom as collect_seldom
from services.observe.process import run_worker as run_worker
from services.observe.process import stop_event as stop_event
from services.observe.tracing import NO_TELEMETRY as NO_TELEMETRY
from services.observe.tracing import at_entrance as at_entrance
from services.observe.tracing import of_stage as of_stage
from services.observe.tracing import traceparent as traceparent
