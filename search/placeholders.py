"""Words that fill a field and say nothing. Released query logs are full of them ("investigation", "inv", ".").

They are refused when a question is asked: flagged afterwards, they stay in the record for good.
"""

import re
import unicodedata
from typing import Final

_VAGUE: Final = frozenset(
    {
        "a", "abc", "active", "an", "and", "any", "as", "asdf", "asdfgh", "because", "blah", "by", "case",
        "cases", "check", "checking", "crime", "criminal", "current", "data", "do", "doing", "done", "duty",
        "enforcement", "enquiries", "enquiry", "feed", "follow", "followup", "foo", "for", "from",
        "general", "help", "idk", "in", "info", "information", "inquiries", "inquiry", "intel",
        "intelligence", "inv", "invest", "investigate", "investigated", "investigating", "investigation",
        "investigations", "investigative", "investigator", "invst", "it", "job", "law", "le", "leo",
        "lookup", "matter", "me", "misc", "miscellaneous", "my", "na", "needed", "nil", "no", "none",
        "nope", "not", "nothing", "null", "number", "of", "official", "ok", "okay", "on", "ongoing", "open",
        "operation", "operational", "other", "our", "patrol", "pd", "pending", "per", "plate", "police",
        "purpose", "purposes", "query", "qwerty", "random", "reason", "reasons", "ref", "reference",
        "request", "requested", "required", "research", "routine", "search", "searching", "see", "some",
        "something", "specified", "stuff", "sure", "tba", "tbd", "temp", "test", "tested", "tester",
        "testing", "tests", "text", "that", "the", "this", "to", "todo", "training", "unk", "unknown",
        "unspecified", "up", "use", "used", "various", "void", "we", "work", "working", "x", "xx", "xxx",
        "xxxx", "yes", "z", "zz", "zzz",
    }
)  # fmt: skip
"""Words that give no reason, alone or joined: "ongoing police investigation" is no more than "inv"."""

_NEVER_A_NUMBER: Final = frozenset(
    {
        "asdf", "foo", "nil", "none", "null", "pending", "qwerty", "tba", "tbd", "test", "tester",
        "testing", "tests", "todo", "unk", "unknown", "xxx",
    }
)  # fmt: skip
"""Words that make no number of anything, whatever digits follow: "test 17"."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_DIGITS: Final = re.compile(r"\d+")
_RUNS: Final = ("01234567890", "12345678901234567890", "9876543210")


def says_nothing(text: str) -> bool:
    """Tell whether a free text gives no reason: nothing but vague words, digits, punctuation or one repeated letter."""
    plain = _plain(text)
    words = _WORD.findall(plain)
    joined = "".join(words)
    return len(set(joined)) < 2 or joined in _VAGUE or all(word in _VAGUE for word in words)


def names_nothing(text: str) -> bool:
    """Tell whether a number or code is a stand-in for one: "none", "test 17", "case", "123", "0000", "n/a"."""
    plain = _plain(text)
    words = _WORD.findall(plain)
    digits = "".join(_DIGITS.findall(plain))
    joined = "".join(words)
    vague = joined in _VAGUE or all(word in _VAGUE for word in words)
    if not digits:
        return vague or len(set(joined)) < 2
    return vague and (_trivial(digits) or any(word in _NEVER_A_NUMBER for word in words))


def _trivial(digits: str) -> bool:
    return len(set(digits)) == 1 or (len(digits) > 2 and any(digits in run for run in _RUNS))


def _plain(text: str) -> str:
    """Return the text without case, accents, width and invisible characters."""
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parted if unicodedata.category(char) not in ("Mn", "Cf", "Cc"))
