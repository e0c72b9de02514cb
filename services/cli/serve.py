"""Starting one service: `platetrail serve gateway` and its siblings. Each runs until SIGTERM or Ctrl-C."""

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Final

import typer
from pydantic import ValidationError

SERVICES: Final[dict[str, str]] = {
    "gateway": """Take detections from cameras over HTTP and put them on the stream.

        Reads PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT, PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_OWNERS_FILE,
        PLATETRAIL_CROPS_FOLDER (pictures of plates, if any are kept).""",
    "enricher": """Turn detections into sightings: normalised, placed, checked.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_OWNERS_FILE, PLATETRAIL_INSTANCE.""",
    "indexer": """Write sightings into the index, in batches, each once.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_DATABASE_URL (role platetrail_ingest), PLATETRAIL_OWNERS_FILE,
        PLATETRAIL_INSTANCE.""",
    "matcher": """Compare reads that may not be kept with the plates wanted now, and let them go.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_INSTANCE.""",
    "health": """Keep what operators are shown of their cameras: last seen, rates, skew.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_DATABASE_URL (role platetrail_health), PLATETRAIL_INSTANCE.""",
    "search": """Answer investigators, and keep the camera registry for operators.

        Reads PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT, PLATETRAIL_DATABASE_URL (role platetrail_search),
        PLATETRAIL_OWNERS_FILE, PLATETRAIL_TOKEN_PUBLIC_KEY_FILE, PLATETRAIL_AUDIT_PUBLIC_KEY_FILE,
        PLATETRAIL_LOOKUP_KEY_FILE, PLATETRAIL_CURSOR_KEY_FILE.""",
    "auditing": """Show auditors the log, and end what a crash left open.

        Reads PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT, PLATETRAIL_DATABASE_URL (role platetrail_auditing),
        PLATETRAIL_TOKEN_PUBLIC_KEY_FILE, PLATETRAIL_AUDIT_PRIVATE_KEY_FILE, PLATETRAIL_LOOKUP_KEY_FILE.""",
    "maintain": """Make the index's days ahead, drop those past their time, purge owner by owner.

        Reads PLATETRAIL_DATABASE_URL (role platetrail_maintain), PLATETRAIL_OWNERS_FILE,
        PLATETRAIL_AUDIT_PUBLIC_KEY_FILE, PLATETRAIL_CROPS_FOLDER (the gateways', if they keep pictures).""",
    "deadletters": """Show operators what was set aside, and put it back on the stream.

        Reads PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT, PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_OWNERS_FILE,
        PLATETRAIL_DATABASE_URL (role platetrail_deadletters), PLATETRAIL_TOKEN_PUBLIC_KEY_FILE,
        PLATETRAIL_AUDIT_PUBLIC_KEY_FILE, PLATETRAIL_LOOKUP_KEY_FILE.""",
    "counting": """Count dead letters by stage and reason, for whoever watches.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_INSTANCE; /healthz, /readyz and /metrics are on
        PLATETRAIL_LISTEN_HOST, PLATETRAIL_LISTEN_PORT.""",
    "inbox": """Carry what camera networks write into topics of their own to the stream, as the gateway would.

        Reads PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_NETWORKS (a JSON list), PLATETRAIL_OWNERS_FILE,
        PLATETRAIL_INSTANCE.""",
    "relay": """Carry changes of the camera registry from the database to the stream; make and check the topics.

        Reads PLATETRAIL_DATABASE_URL (role platetrail_relay), PLATETRAIL_KAFKA_BOOTSTRAP, PLATETRAIL_OWNERS_FILE.""",
}


def add_to(app: typer.Typer) -> None:
    """Add a group with a command for each service."""
    says = """Start one service; it runs until SIGTERM or Ctrl-C and logs JSON lines to standard error.

        Every one has /healthz, /readyz and, but for search and auditing, /metrics, on PLATETRAIL_LISTEN_HOST (loopback
        unless set) and PLATETRAIL_LISTEN_PORT (a free one unless set; it is logged). Each names the
        settings that it needs; docs/operating.md has all."""
    group = typer.Typer(help=inspect.cleandoc(says), no_args_is_help=True, rich_markup_mode="markdown")
    for name, about in SERVICES.items():
        group.command(name, help=inspect.cleandoc(about))(_starter(name))
    app.add_typer(group, name="serve", rich_help_panel="Those who run it")


def _starter(name: str) -> Callable[[], None]:
    def start() -> None:
        module = importlib.import_module(f"services.{name}")
        try:
            module.main()
        except (ValidationError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - the last frame of a process: what it says goes into a log file
            import structlog

            from services.observe import exception_names

            structlog.get_logger().critical("ended", service=name, error=exception_names(error))
            sys.exit(1)

    return start
