"""What was made of a batch's messages, and is to be written: gathered slice by slice, in the order of the messages."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from schemas.deadletters import DeadLetter

Out = TypeVar("Out")
Form = TypeVar("Form")


class Made(Generic[Form]):
    """Items and letters, each beside the place of its message in the batch; and the messages of which there are none.

    `again`: places of messages that were worked off before, and are only read again; `dropped`: of those that must not
    be kept. Most messages make one item and nothing else, so that these lists are all that is kept of them.
    """

    def __init__(self, size: int) -> None:
        """Begin with nothing made of `size` messages."""
        self.size = size
        self.items: list[Form] = []
        self.places: list[int] = []
        self.letters: list[DeadLetter] = []
        self.letter_places: list[int] = []
        self.again: set[int] = set()
        self.dropped: set[int] = set()

    def take(self, start: int, outcomes: Sequence[Out | DeadLetter | None], form: Callable[[Out], Form]) -> None:
        """Take what became of each message from place `start` on: something to write, a letter, or nothing."""
        for at, one in enumerate(outcomes, start):
            if one is None:
                self.dropped.add(at)
            elif isinstance(one, DeadLetter):
                self._set_down(at, one)
            else:
                self.items.append(form(one))
                self.places.append(at)

    def take_several(
        self,
        start: int,
        outcomes: Sequence[object],
        told: Sequence[Sequence[Out | DeadLetter] | DeadLetter | None],
        form: Callable[[Out], Form],
    ) -> None:
        """The same of a stage that remembers: `told` is what it makes of each outcome, None if it is `again`."""
        for at, (outcome, several) in enumerate(zip(outcomes, told, strict=True), start):
            if several is None:
                self.again.add(at)
                continue
            if outcome is None:
                self.dropped.add(at)
            if isinstance(several, DeadLetter):
                self._set_down(at, several)
                continue
            for one in several:
                if isinstance(one, DeadLetter):
                    self._set_down(at, one)
                else:
                    self.items.append(form(one))
                    self.places.append(at)

    def leave_out(self, letters: Mapping[int, DeadLetter]) -> None:
        """Put letters in the place of all that was made of these messages."""
        if not letters:
            return
        items = [(at, item) for at, item in zip(self.places, self.items, strict=True) if at not in letters]
        others = [(at, one) for at, one in zip(self.letter_places, self.letters, strict=True) if at not in letters]
        both = sorted((*others, *letters.items()), key=lambda one: one[0])
        self.places, self.items = [at for at, _ in items], [item for _, item in items]
        self.letter_places, self.letters = [at for at, _ in both], [letter for _, letter in both]

    def split(self, parts: Sequence[Collection[int]]) -> list["Made[Form]"]:
        """Return the items and letters of each part of the messages; every message is in one of them."""
        found: list[Made[Form]] = [Made(self.size) for _ in parts]
        part_of = {at: made for made, part in zip(found, parts, strict=True) for at in part}
        for at, item in zip(self.places, self.items, strict=True):
            part_of[at].items.append(item)
            part_of[at].places.append(at)
        for at, letter in zip(self.letter_places, self.letters, strict=True):
            part_of[at].letters.append(letter)
            part_of[at].letter_places.append(at)
        return found

    def failed(self) -> list[Sequence[DeadLetter] | None]:
        """Return the letters of each message; None of those that are only read again."""
        found: list[Sequence[DeadLetter] | None] = [()] * self.size
        for at in self.again:
            found[at] = None
        for at, letter in zip(self.letter_places, self.letters, strict=True):
            found[at] = (*(found[at] or ()), letter)
        return found

    def _set_down(self, at: int, letter: DeadLetter) -> None:
        self.letters.append(letter)
        self.letter_places.append(at)


@dataclass
class Counts:
    """What a worker has done since it started, in messages; `again`: read again, and worked off before."""

    fetched: int = 0
    again: int = 0
    written: int = 0
    dead_letters: int = 0
    dropped: int = 0

    def add(self, made: Made[Any]) -> None:
        """Count what became of a batch that is committed."""
        self.written += len(made.items)
        self.again += len(made.again)
        self.dropped += len(made.dropped)
        self.dead_letters += len(made.letters)
