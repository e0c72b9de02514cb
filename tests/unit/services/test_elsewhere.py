"""Servers that settings name: their URLs, and what is said of them."""

import pytest

from services.demo import elsewhere
from services.demo.elsewhere import KAFKA_VARIABLE, SUPERUSER_VARIABLE, Cluster


@pytest.mark.parametrize(
    ("superuser", "place"),
    [
        ("postgresql://root:p%40ss@db.example:5433/postgres", "db.example:5433/x"),
        ("postgres://root@[::1]:5433/postgres?ssl=require", "[::1]:5433/x?ssl=require"),
    ],
)
def test_roles_have_their_own_password_at_the_same_place(superuser: str, place: str) -> None:
    cluster = Cluster(superuser, {"platetrail_search": "own-word"})
    assert cluster.url("platetrail_search", "x") == f"postgresql://platetrail_search:own-word@{place}"


def test_names_of_databases_are_never_the_same() -> None:
    names = {elsewhere.new_name() for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith(elsewhere.PREFIX) for name in names)


def test_variables_are_said_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KAFKA_VARIABLE, raising=False)
    monkeypatch.delenv(SUPERUSER_VARIABLE, raising=False)
    assert elsewhere.named().notes() == ()
    monkeypatch.setenv(SUPERUSER_VARIABLE, "postgresql://root:hidden-word@127.0.0.1/postgres")
    assert elsewhere.named().notes() == (f"as {SUPERUSER_VARIABLE} says",)


def test_settings_that_do_not_reach_the_demo_are_told() -> None:
    heeded = {KAFKA_VARIABLE: "127.0.0.1:9", "PLATETRAIL_TEST_POSTGRES_BINDIR": "/x", "HOME": "/y"}
    assert elsewhere.unheeded(heeded) == []
    others = {"PLATETRAIL_LOG_LEVEL": "debug", "PLATETRAIL_ENRICHER_TRANSACTIONS": "true"}
    assert elsewhere.unheeded(heeded | others) == ["PLATETRAIL_ENRICHER_TRANSACTIONS", "PLATETRAIL_LOG_LEVEL"]
