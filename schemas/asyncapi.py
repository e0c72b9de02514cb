"""The topics as an AsyncAPI 3 document, made from their files and from the types that the codec encodes.

Specification: AsyncAPI 3.0.0, Kafka bindings 0.5.0.
"""

import importlib
from typing import Any, Final

import msgspec

from schemas import topics, wire
from schemas.topics import Topic

SPEC: Final = "3.0.0"
BINDING: Final = "0.5.0"
JSON: Final = "application/json"

_ABOUT: Final = (
    "What Platetrail's processes tell one another over Apache Kafka. Each value is one JSON object whose member `v` is "
    "the version of its shape. A reader takes every version up to its own and ignores members that it does not know, "
    "so a member may be added without a new version."
)


def document(version: str) -> dict[str, Any]:
    """Return the document of all topics; `version` is the distribution's."""
    found = [topics.load(name) for name in topics.ALL]
    shapes = [_shape(topic) for topic in found]
    _, schemas = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    messages = {
        shape.__name__: _message(topic, shape, schemas[shape.__name__])
        for topic, shape in zip(found, shapes, strict=True)
    }
    return {
        "asyncapi": SPEC,
        "info": {
            "title": "Platetrail topics",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {topic.topic: _channel(topic, shape) for topic, shape in zip(found, shapes, strict=True)},
        "operations": {name: operation for topic in found for name, operation in _operations(topic).items()},
        "components": {
            "messages": messages,
            # A value that is in no other one stands in its message alone.
            "schemas": {name: schema for name, schema in schemas.items() if _is_named(name, schemas)},
        },
    }


def _is_named(name: str, schemas: dict[str, Any]) -> bool:
    return f'"#/components/schemas/{name}"'.encode() in msgspec.json.encode(schemas)


def _shape(topic: Topic) -> type[Any]:
    module, _, name = topic.value.rpartition(".")
    shape: type[Any] = getattr(importlib.import_module(module), name)
    return shape


def _versioned(schema: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the schema of a message: the value's members, and its version as first one."""
    says = "version of this shape"
    return schema | {
        "properties": {"v": {"type": "integer", "const": version, "description": says}, **schema["properties"]},
        "required": ["v", *schema.get("required", ())],
    }


def _channel(topic: Topic, shape: type[Any]) -> dict[str, Any]:
    return {
        "address": topic.topic,
        "description": topic.says,
        "messages": {shape.__name__: {"$ref": f"#/components/messages/{shape.__name__}"}},
        "bindings": {
            "kafka": {
                "topic": topic.topic,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup.split(","),
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": BINDING,
            }
        },
        "x-compatibility": topic.compatibility,
        "x-segment-ms": topic.segment_ms,
        "x-holds": topic.holds,
        "x-at-most-ms": topic.at_most_ms,
    }


def _message(topic: Topic, shape: type[Any], schema: dict[str, Any]) -> dict[str, Any]:
    written = wire.VERSIONS[shape]
    return {
        "name": shape.__name__,
        "title": f"{shape.__name__}, version {written}",
        "summary": f"Read: {_listed(topic.versions)}. Written: version {written}.",
        "contentType": JSON,
        "payload": _versioned(schema, written),
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING}},
    }


def _listed(versions: tuple[int, ...]) -> str:
    return ("version " if len(versions) == 1 else "versions ") + ", ".join(map(str, versions))


def _operations(topic: Topic) -> dict[str, Any]:
    """Return what each service does with a topic."""
    channel = {"$ref": f"#/channels/{topic.topic}"}
    sent = {
        f"{name}.sends.{topic.topic}": {"action": "send", "channel": channel, "summary": f"The {name} writes."}
        for name in topic.producers
    }
    received = {
        f"{name}.receives.{topic.topic}": {"action": "receive", "channel": channel, "summary": f"The {name} reads."}
        for name in topic.consumers
    }
    return sent | received
