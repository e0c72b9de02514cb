"""Receipts that somebody kept: what they attest about a log. Pure."""

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from schemas.queries import Receipt
from search.audit.ports import Appended


class Attested(NamedTuple):
    """The log once had this leaf at `idx`, and over its first `size` leaves this root."""

    idx: int
    leaf: bytes
    size: int
    root: bytes


def attested(receipt: Receipt) -> Attested:
    """Return what a receipt attests. Raises ValueError if it is not one that a log can have given."""
    try:
        leaf = base64.b64decode(receipt.leaf, validate=True)
        root = bytes.fromhex(receipt.root)
    except (binascii.Error, ValueError):
        raise ValueError("a receipt's leaf is base64 and its root hexadecimal") from None
    if not 0 <= receipt.index < receipt.size or len(root) != 32:
        raise ValueError("a receipt's index lies below its size, and its root has 32 bytes")
    return Attested(receipt.index, leaf, receipt.size, root)


def receipt_of(appended: Appended) -> Receipt:
    """Return the receipt of an entry, as answers carry it."""
    return Receipt(
        index=appended.index,
        leaf=base64.b64encode(appended.leaf).decode(),
        size=appended.size,
        root=appended.root.hex(),
    )


def receipts_in(content: bytes) -> tuple[Receipt, ...]:
    """Return the receipts in a file: a receipt, an answer that holds one, a list of these, or one of these a line.

    Raises ValueError, without quoting the file, if there is anything else in it.
    """
    try:
        items = _items(content)
        return tuple(msgspec.convert(item.get("receipt", item), Receipt) for item in items)
    except (msgspec.DecodeError, AttributeError):
        raise ValueError("the file holds no receipt, nor an answer with one, nor these in a list or in lines") from None


def _items(content: bytes) -> list[Any]:
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError:
        # The pages of an answer, as `--all --json` prints them. Nothing at all is no receipt.
        found = msgspec.json.Decoder().decode_lines(content) or [None]
    return found if isinstance(found, list) else [found]
