"""What would be right in place of a value that pydantic refuses: a sentence that quotes nothing of the request."""

from collections.abc import Collection, Mapping
from typing import Any, Final

NOT_A_TIME: Final = "not_a_time"
"""The type of our own error for a text that is no time as we document it."""

TIME: Final = (
    "An RFC 3339 time with its offset from UTC, of the years 1970 to 9998, such as 2026-03-01T14:00:00Z or "
    "2026-03-01T08:00:00-06:00; in a URL, + is written as %2B."
)

_SENTENCES: Final = {
    NOT_A_TIME: TIME,
    "timezone_aware": TIME,
    "missing": "This is required.",
    "json_invalid": "The body is not valid JSON (RFC 8259) in UTF-8.",
    "model_type": "A JSON object is expected here.",
    "model_attributes_type": "A JSON object is expected here.",
    "dict_type": "A JSON object is expected here.",
    "list_type": "A JSON array is expected here.",
    "string_type": "A text is expected here.",
    "int_type": "A whole number is expected here.",
    "int_parsing": "A whole number is expected here.",
    "int_parsing_size": "A whole number is expected here.",
    "int_from_float": "A whole number is expected here.",
    "float_type": "A number is expected here.",
    "float_parsing": "A number is expected here.",
    "bool_type": "true or false is expected here.",
    "bool_parsing": "true or false is expected here.",
    "literal_error": "One of {expected}.",
    "enum": "One of {expected}.",
    "greater_than": "More than {gt}.",
    "greater_than_equal": "At least {ge}.",
    "less_than": "Less than {lt}.",
    "less_than_equal": "At most {le}.",
    "string_too_short": "At least {min_length} characters.",
    "string_too_long": "At most {max_length} characters.",
    "string_pattern_mismatch": "Text that matches the regular expression {pattern}",
}
"""By the type of pydantic's error. What is filled in is of our own schema: no other part of an error's context is, for
the text of a ValueError quotes the value."""

_FALLBACK: Final = "This value is not of the documented shape."


def sentence(error: Mapping[str, Any], known: Collection[str] = ()) -> str:
    """Return what would be right where one of pydantic's errors is: `known` are the names that mean something there."""
    if error["type"] == "extra_forbidden":
        kind = "parameter" if error["loc"][:1] == ("query",) else "member"
        names = f"; known are: {', '.join(known)}" if known else ""
        return f"There is no such {kind}{names}."
    context = {name: str(value).replace("'", "") for name, value in error.get("ctx", {}).items()}
    return _SENTENCES.get(error["type"], _FALLBACK).format_map(context)
