"""Names in traces, once: what a span may say. No plate, key, camera, owner, person, offset, path parameter or query."""

from typing import Final

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
GROUP: Final = "messaging.consumer.group.name"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGES: Final = "messaging.batch.message_count"
FATE: Final = "platetrail.messages."
"""Before the name of a fate (`ingest.traces.Fate`): how many of the messages it was the fate of."""

ATTRIBUTES: Final = frozenset(
    {
        *(METHOD, ROUTE, STATUS),
        *(SYSTEM, DESTINATION, GROUP, OPERATION, OPERATION_TYPE, MESSAGES),
        *(f"{FATE}{fate}" for fate in ("written", "dropped", "again", "dead_letter", "refused")),
    }
)
"""Every attribute that a span of ours may have. The names without `platetrail` are OpenTelemetry's conventions."""

RESOURCE: Final = frozenset(
    {
        *("service.name", "service.namespace", "service.instance.id", "service.version"),
        *("telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version"),
    }
)
"""What is said of the process that a span comes from."""
