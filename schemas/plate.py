"""Plates: the normal form of a text, and the key that folds look-alike characters together.

The normal form is upper case, A-Z and 0-9 only. The key maps every character that plate readers mistake for one
another to one representative (0 O Q D, 1 I L, 8 B, 5 S, 2 Z, 6 G), so that a single index probe finds all
misreadings of that kind.
"""

import unicodedata
from typing import Final

MAX_PLATE_LENGTH: Final = 16
"""Longest normal form that is indexed. The longest plate in use (a few vanity series) has ten characters."""

NO_PLATE_PREFIX: Final = "~"
"""First character of the key of a read without a plate. It is outside A-Z and 0-9, so no question can probe it."""

LOOK_ALIKES: Final[tuple[str, ...]] = ("0OQD", "1IL", "8B", "5S", "2Z", "6G")
"""Groups of characters that readers confuse; the first of each group represents it in a plate key."""

_FOLD: Final = bytes.maketrans(
    "".join(LOOK_ALIKES).encode(), "".join(group[0] * len(group) for group in LOOK_ALIKES).encode()
)

# Letters of other alphabets that look exactly like Latin capitals: cameras with a multi-language reader send them
# for ordinary plates. NFKC does not touch them, since they are different letters.
_OTHER_ALPHABETS: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "ABESIJKMHOPCTYXABEZHIKMNOPTYX",
)

SENTINELS: Final = frozenset(
    {
        "UNKNOWN", "NOPLATE", "NOTPLATE", "NONE", "NULL", "NA", "UNREAD", "UNREADABLE", "NOREAD", "NOTREAD",
        "UNLICENSED", "NOLICENSE", "NOTDETECTED", "UNDETECTED", "NOPLATES", "WITHOUTPLATE",
    }
)  # fmt: skip
"""Words that cameras send in the plate field when they saw no plate (normal form). They are never a plate."""


def normalise(raw: str | None) -> str | None:
    """Return the normal form of a raw plate text, or None if the text holds no plate.

    Compatibility characters are folded (NFKC), look-alike Greek and Cyrillic capitals become Latin, everything but
    letters and digits is removed. None comes back for an empty text, a sentinel word, and a text whose normal form is
    longer than `MAX_PLATE_LENGTH` or holds letters that no plate alphabet of ours has.
    """
    if not raw:
        return None
    if raw.isascii() and raw.isalnum():  # as nearly all are: nothing to fold, nothing to leave out
        plate = raw.upper()
        if plate == raw:
            plate = raw  # the same text in one place: of every read of a window, it is kept
        return plate if len(plate) <= MAX_PLATE_LENGTH and plate not in SENTINELS else None
    folded = unicodedata.normalize("NFKC", raw).upper().translate(_OTHER_ALPHABETS)
    kept = [char for char in folded if char.isalnum()]
    plate = "".join(kept)
    if not plate or len(plate) > MAX_PLATE_LENGTH or not plate.isascii() or plate in SENTINELS:
        return None
    return plate


def plate_key(plate: str) -> str:
    """Return the plate key of a plate in normal form: look-alikes folded to one representative each."""
    # As bytes: in a third of the time. Bytes of other letters than A-Z are left alone.
    key = plate.encode(errors="surrogatepass").translate(_FOLD).decode(errors="surrogatepass")
    return plate if key == plate else key  # one text in place of two, of every read that is kept for a window


def no_plate_key(camera_id: str) -> str:
    """Return the key of a read without a plate: it spreads over partitions and cannot be probed as a plate."""
    return NO_PLATE_PREFIX + camera_id
