"""Where brokers are, as it is said to people: addresses, and no password that stands beside one."""

import pytest

from ingest.adapters.broker import Broker


@pytest.mark.parametrize(
    ("bootstrap", "where"),
    [
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("kafka-1.example:9092,kafka-2.example:9092", "kafka-1.example:9092, kafka-2.example:9092"),
        ("[::1]:9092", "[::1]:9092"),
        ("kafka", "kafka"),
        ("planted:planted@kafka:9092", "kafka:9092"),
        ("a:9092,planted:plan,ted:1@kafka:9092", "kafka:9092"),
        ("SASL_SSL://planted:planted@kafka:9092", "kafka:9092"),
        ("kafka:9092?password=planted", "what PLATETRAIL_KAFKA_BOOTSTRAP names"),
        ("", "what PLATETRAIL_KAFKA_BOOTSTRAP names"),
    ],
)
@pytest.mark.parametrize("security", ["PLAINTEXT", "SASL_SSL"])
def test_no_broker_is_said_with_its_address_and_nothing_secret(bootstrap: str, where: str, security: str) -> None:
    broker = Broker(bootstrap=bootstrap, security=security, user="planted", password="planted")  # type: ignore[arg-type]
    said = str(broker.unreachable(TimeoutError("planted")))
    assert said.startswith(f"no broker at {where}: TimeoutError")
    assert "planted" not in said
