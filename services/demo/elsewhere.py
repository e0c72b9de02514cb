"""Servers that settings name: the demo uses them instead of starting its own, and takes its database away again.

The roles stay, with passwords that nobody knows any more. So do the topics: what was pushed ages as their files say.
"""

import asyncio
import os
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from schemas.migrations import roles
from schemas.migrations.run import administer
from services.cli.failures import UNAVAILABLE, Failure
from services.observe import exception_names

KAFKA_VARIABLE: Final = "PLATETRAIL_DEMO_KAFKA_BOOTSTRAP"
SUPERUSER_VARIABLE: Final = "PLATETRAIL_DEMO_SUPERUSER_URL"
PREFIX: Final = "platetrail_demo_"


class Named(NamedTuple):
    """What the settings name; empty is not named."""

    bootstrap: str
    superuser_url: str

    def notes(self) -> tuple[str, ...]:
        """Say which variables were heeded, without their values: one holds a password."""
        both = {KAFKA_VARIABLE: self.bootstrap, SUPERUSER_VARIABLE: self.superuser_url}
        return tuple(f"as {name} says" for name, value in both.items() if value)


def named() -> Named:
    """Return what the environment names."""
    return Named(os.environ.get(KAFKA_VARIABLE, ""), os.environ.get(SUPERUSER_VARIABLE, ""))


def new_name() -> str:
    """Return a name for a database that no other run has."""
    return PREFIX + secrets.token_hex(6)


class Cluster:
    """A PostgreSQL that runs already."""

    def __init__(self, superuser_url: str, passwords: Mapping[str, str]) -> None:
        """Know the superuser's URL, which names host, port and options for everybody, and the roles' passwords."""
        self._superuser_url = superuser_url
        self._passwords = dict(passwords)

    def url(self, role: str, database: str) -> str:
        """Return a role's URL, with its password."""
        parts = urlsplit(self._superuser_url)
        place = parts.netloc.rpartition("@")[2]
        who = f"{quote(role)}:{quote(self._passwords[role], safe='')}"
        return parts._replace(scheme="postgresql", netloc=f"{who}@{place}", path=f"/{database}").geturl()

    def prepare(self, database: str) -> None:
        """Make the roles, with the run's passwords, and an empty database.

        Raises Failure if the server does not answer, refuses, or holds an installation, whose passwords would change.
        """
        self._run(roles.refuse_others(PREFIX), *roles.statements(self._passwords), *roles.database(database))
        self._run(*roles.WITHIN, database=database)

    def drop(self, database: str) -> None:
        """Drop the database, and the sessions in it; nothing if it does not exist. Raises Failure."""
        self._run(roles.drop_database(database))

    def _run(self, *statements: str, database: str = "") -> None:
        """Run statements as the superuser. An error is named by types and SQLSTATE: its text may hold a password."""
        try:
            asyncio.run(_administer(self._superuser_url, statements, database))
        except Exception as error:  # noqa: BLE001 - drivers raise what they like; all of it means the same here
            said = exception_names(error)
            if roles.INSTALLED in said:
                raise Failure(f"{SUPERUSER_VARIABLE} names a server that holds an installation", UNAVAILABLE) from None
            raise Failure(f"the server of {SUPERUSER_VARIABLE} does not do it: {said}", UNAVAILABLE) from None


async def _administer(url: str, statements: Iterable[str], database: str) -> None:
    parts = urlsplit(url)
    await administer(parts._replace(scheme="postgresql").geturl(), statements, database)


def unheeded(environment: Mapping[str, str]) -> list[str]:
    """Return the names of settings in an environment that are for services, and do not reach those of the demo."""
    own = ("PLATETRAIL_DEMO_", "PLATETRAIL_TEST_")
    return sorted(name for name in environment if name.startswith("PLATETRAIL_") and not name.startswith(own))
