"""Pointers into a request (RFC 6901) for problem documents: they name what we document, never what a caller wrote."""

from collections.abc import Collection, Sequence


def pointer(place: Sequence[str | int], known: Collection[str]) -> str:
    """Return a pointer to a place in a request, as far as its names are among the `known` ones.

    A member that we do not document has a name that the caller chose, which may be a plate: the pointer ends above it.
    """
    parts = []
    for part in place:
        if isinstance(part, str) and part not in known:
            break
        parts.append(f"/{part}".replace("~", "~0"))
    return "".join(parts)
