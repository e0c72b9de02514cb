"""The demo's question as the log has it: the entry, the verification, and the gate asked again under it."""

import asyncio
from collections import Counter
from typing import Any

import msgspec

from schemas.queries import Answer
from search.adapters.postgres import PostgresIndex, Readers
from search.audit import keys
from search.audit.adapters.reader import PostgresReader, verify_database
from search.audit.ports import Selection
from search.audit.receipts import receipts_in
from search.audit.secrets import Opener
from services.cli import audit as auditing
from services.cli.client import Service
from services.cli.options import write_private
from services.demo.folder import Folder
from services.demo.servers import Database
from services.demo.steps import Steps


async def through_the_gate(intent: int, database: Database, folder: Folder) -> Counter[str]:
    """Call the gate directly, as the search role, with the recorded question; count its reads by owner.

    The question's bytes are in no hand but the auditing process's, so they are opened with its key. The gate takes
    them for a minute after the intent was committed.
    """
    reader = PostgresReader(database.url("platetrail_auditing"))
    try:
        (entry,) = await reader.entries(Selection(after=intent - 1, limit=1))
    finally:
        await reader.close()
    assert entry.data_key is not None
    assert entry.wrapped is not None
    assert entry.sealed is not None
    opener = Opener(keys.read_private(folder.key("audit.private.pem")))
    opened = opener.open(entry.data_key, entry.wrapped, entry.sealed, entry.leaf)
    (question,) = (one for one in opened if one.field == "question")
    readers = Readers(database.url("platetrail_search"), connections=1)
    await readers.start()
    try:
        rows = await PostgresIndex(readers).trajectory(intent, question.encoded())
    finally:
        await readers.stop()
    return Counter(row.owner for row in rows)


def keep_receipt(answer: Answer, file: Any) -> None:
    """Keep the receipt that came with an answer."""
    write_private(file, msgspec.json.encode(answer.receipt) + b"\n")


def show_entry(steps: Steps, url: str, token: str, intent: int) -> None:
    """Print the intent and its end as an auditor sees them. Raises Failure."""
    with Service("auditing", url, token) as service:
        entries = auditing.fetch(service, {"after": intent - 1, "limit": 2})
    steps.console.print(auditing.entries_table(entries))


def show_verification(steps: Steps, database: Database, folder: Folder) -> bool:
    """Verify the whole log against the receipt, print what was found, and return whether it is sound."""
    receipts = receipts_in(folder.receipt.read_bytes())
    report = asyncio.run(verify_database(database.url("platetrail_auditing"), receipts))
    auditing.show_report(steps.console, report, len(receipts))
    return not report.findings
