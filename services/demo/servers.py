"""Apache Kafka and PostgreSQL for the demo: started for it, or those that settings name."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final, NamedTuple, Protocol

from schemas.migrations import roles
from services.demo import elsewhere
from services.demo import kafka as kafka_starter
from services.demo import postgres as postgres_starter
from services.demo.folder import Folder

OWN_DATABASE: Final = "platetrail"


class Cluster(Protocol):
    """What the demo needs of a PostgreSQL."""

    def url(self, role: str, database: str) -> str:
        """Return a role's URL, with its password."""
        ...

    def prepare(self, database: str) -> None:
        """Make the roles, with the run's passwords, and an empty database."""
        ...


class Database(NamedTuple):
    """The run's database."""

    cluster: Cluster
    name: str

    def url(self, role: str) -> str:
        """Return the URL of a login role, with its password."""
        return self.cluster.url(role, self.name)

    def make(self) -> None:
        """Make it, empty, and the roles."""
        self.cluster.prepare(self.name)


class Servers(NamedTuple):
    """The run's broker and database. `notes` says, in words, which of them are not the demo's own."""

    bootstrap: str
    database: Database
    notes: tuple[str, ...]


def start(folder: Folder, stack: ExitStack) -> Servers:
    """Start both, or find them; leave on `stack` what must be undone. Raises ChildError if one does not start."""
    named = elsewhere.named()
    with ThreadPoolExecutor(2) as pool:
        bootstrap = pool.submit(lambda: named.bootstrap or _kafka(folder, stack))
        database = pool.submit(lambda: _elsewhere(named.superuser_url, folder, stack) or _postgres(folder, stack))
        return Servers(bootstrap.result(), database.result(), named.notes())


def _kafka(folder: Folder, stack: ExitStack) -> str:
    kafka = kafka_starter.start(folder.run / "kafka", log_file=folder.logs / "kafka.log")
    # Said here, in the thread that started it: whatever happens to the others, it will be stopped.
    stack.callback(kafka.stop)
    return kafka.bootstrap


def _postgres(folder: Folder, stack: ExitStack) -> Database:
    log_file = folder.logs / "postgres.log"
    postgres = postgres_starter.start(folder.run / "postgres", passwords=folder.passwords, log_file=log_file)
    stack.callback(postgres.stop)
    return Database(_Own(postgres, folder), OWN_DATABASE)


def _elsewhere(superuser_url: str, folder: Folder, stack: ExitStack) -> Database | None:
    if not superuser_url:
        return None
    cluster, name = elsewhere.Cluster(superuser_url, folder.passwords), elsewhere.new_name()
    stack.callback(cluster.drop, name)
    return Database(cluster, name)


class _Own:
    """The cluster that the demo started."""

    def __init__(self, postgres: postgres_starter.Postgres, folder: Folder) -> None:
        self._postgres = postgres
        self._passwords = folder.passwords

    def url(self, role: str, database: str) -> str:
        return self._postgres.url(role, database)

    def prepare(self, database: str) -> None:
        self._postgres.administer(roles.statements(self._passwords))
        self._postgres.administer(roles.database(database))
        self._postgres.administer(roles.WITHIN, database)
