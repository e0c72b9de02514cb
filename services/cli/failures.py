"""What can go wrong at the command line: one clear line and an exit code, never a stack of calls."""

from typing import Final

NOT_SO: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNAVAILABLE: Final = 4
INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 checked, and it does not hold; 2 wrong usage or settings; 3 refused by the service or "
    "server; 4 the service or server is not available; 130 interrupted."
)


class Failure(Exception):
    """An end of the command with one line on standard error. The text names no plate, key, token, user or case."""

    def __init__(self, text: str, code: int) -> None:
        """Know the line and the exit code."""
        super().__init__(text)
        self.code = code
