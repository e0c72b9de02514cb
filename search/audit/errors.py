"""Errors of the audit log, sorted by what the caller must do. None of them quotes an entry.

Whoever gets any of them from `append` must not go on to what the entry was to allow: nothing is read, nothing is
answered.
"""


class LogError(Exception):
    """Something of the audit log did not happen. `code` is an SQLSTATE or a word of ours: safe to log."""

    def __init__(self, code: str = "") -> None:
        """Keep the code alone: texts of database errors quote values."""
        super().__init__(code)
        self.code = code


# Retry later: HTTP 503 with Retry-After.


class LogUnavailable(LogError):
    """The log did not acknowledge the entry in time. Whether it was recorded is not known; the sweeper ends it then."""


class LogBusy(LogUnavailable):
    """Too many entries are waiting: slow down. This entry was not recorded."""


# Refuse: trying again cannot help.


class LogRefused(LogError):
    """The database refused this entry (too long, an end of nothing, not canonical). It was not recorded."""


class AlreadyEnded(LogRefused):
    """The intent or page has an end already, for instance the sweeper's: the caller's answer must not leave."""


class LogUnfit(LogError):
    """The database may not hold a log: commits are not durable, or its head contradicts itself. Do not start."""


class LogBroken(LogError):
    """Verification found that the log is not what was recorded."""


class Unopened(LogError):
    """A secret could not be opened, or does not match the leaf's commitments: it was altered, or the key is gone."""


class KeyFileError(LogError):
    """A key file is missing, is not what it should be, or others can read it."""
