"""What a group of workers leaves beside an offset that it commits: how far everything was written, and of which topic.

A stage that remembers commits the offset from which a restart must read again, which lies before what it has written.
Without the text beside it, the offset itself is how far all was written.
"""

from typing import Final

import msgspec


class Written(msgspec.Struct, frozen=True, omit_defaults=True):
    """The text beside an offset.

    `done` is the offset before which everything was written, None if nobody knows. `whole_after_s` is set where
    messages had expired that the group never read, or had to read again: what began up to then (Unix time) may not be
    whole. `beginning_gone` says the same of an offset of which that time is not known yet: at the first message from
    there on, a window after which all is whole begins. `topic` is the broker's id of the topic that was read (empty:
    nobody knows): a topic of the same name and another id was made anew, and the offset says nothing of it.
    """

    done: int | None
    whole_after_s: float | None = None
    beginning_gone: bool = False
    topic: str = ""


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Written)


def encode(written: Written) -> str:
    """Return the text to commit beside an offset."""
    return _ENCODER.encode(written).decode()


def decode(offset: int, text: str, *, by_text: bool = False) -> Written:
    """Return what a committed offset and the text beside it say; a text that is not ours says nothing.

    Then the offset is how far all was written; or nobody knows, if that counts `by_text` alone: somebody has moved a
    group whose stage remembers. At the beginning of a partition there is nothing to know.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return Written(done=None if by_text and offset > 0 else offset)


def done(offset: int, text: str) -> int:
    """Return up to where nothing is left to write; where reading began, if nobody knows what was written."""
    found = decode(offset, text).done
    return offset if found is None else found
