"""What an error of PostgreSQL asks of whoever gets it, by its SQLSTATE: to wait and do the same again, or to end.

These pass, or are mended in the server while we wait; whoever waits does so for a limited time, over a new connection,
and then ends with the state in its last line:

| SQLSTATE | what it is here |
| --- | --- |
| class 08 | the connection was cut, could not be made, or the server ended it |
| 25006 | the server is read-only: a standby after a failover, or a primary that was set so since its disk is full |
| 25P03, 25P04 | a transaction was idle, or lasted, for longer than the server allows |
| class 40 | another transaction was in the way (40001 serialisation, 40P01 deadlock), or a commit's end is not known |
| class 53 | no room: disk, memory, connections (53300) |
| 55000 | the database takes no connections at present (`allow_connections`), or is half dropped |
| 55006, 55P03 | something is in use, or locked for longer than we wait |
| class 57 | an operator or a timeout: 57014 cancelled, 57P01 terminated, 57P02 crashed, 57P03 starting |
| class 58 | the server's own input and output failed |

Everything else is Misconfigured: a wrong password or no right to log in (28), no such database (3D000), missing rights
(42501), another schema than ours (42), a setting that cannot be made (42704, 55P02), damaged data (XX). Nobody but a
human can mend that. But values that do not fit (22, 23, 54) are the fault of one row among many: whoever writes them
finds it, sets it aside and goes on. `ingest.rows` lets none through that it knows.
"""

from typing import Any, Final

import asyncpg

from ingest.errors import Misconfigured

_CLASSES: Final = ("08", "40", "53", "57", "58")

_OF_VALUES: Final = ("22", "23", "54")

_STATES: Final = frozenset({"25006", "25P03", "25P04", "55000", "55006", "55P03"})


def is_outage(state: str) -> bool:
    """Tell whether what failed with this SQLSTATE may succeed later as it is."""
    return state[:2] in _CLASSES or state in _STATES


def is_of_values(state: str) -> bool:
    """Tell whether this SQLSTATE speaks of the values that were to be written, and of nothing else."""
    return state[:2] in _OF_VALUES


async def connect(url: str, **options: Any) -> Any:
    """Return a connection of asyncpg, made with its options.

    Raises Misconfigured for a URL that cannot be used, and what asyncpg raises for all else.
    """
    try:
        return await asyncpg.connect(url, **options)
    except ValueError as error:
        if isinstance(error, OSError):  # as of a certificate that is not trusted
            raise
        # Without its text: that may quote a part of a password.
        raise Misconfigured("the URL of the database cannot be used") from None
