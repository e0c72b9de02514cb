"""What a group of workers leaves beside an offset that it commits: how far everything was written.

A stage that remembers commits the offset from which a restart must read again, which lies before what it has written.
Without the text beside it, the offset itself is how far all was written.
"""

from typing import Final

import msgspec


class Written(msgspec.Struct, frozen=True):
    """The text beside an offset.

    `done` is the offset before which everything was written, None if nobody knows. `whole_after_s` is set where
    messages had expired before the group ever read the partition: what began up to then (Unix time) may not be whole.
    """

    done: int | None
    whole_after_s: float | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Written)


def encode(written: Written) -> str:
    """Return the text to commit beside an offset."""
    return _ENCODER.encode(written).decode()


def decode(offset: int, text: str) -> Written:
    """Return what a committed offset and the text beside it say; a text that is not ours says nothing."""
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return Written(done=offset)


def done(offset: int, text: str) -> int:
    """Return up to where nothing is left to write; where reading began, if nobody knows what was written."""
    found = decode(offset, text).done
    return offset if found is None else found
