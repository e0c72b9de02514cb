"""Dead letters, counted by who set them aside and why. Pure; nothing of a letter's content is kept or told."""

from collections import Counter
from typing import Final

from schemas import wire
from schemas.deadletters import DeadLetter

POISONED: Final = "poisoned"
UNDECODABLE: Final = "undecodable"


class LetterCounts:
    """What one run of a worker has counted: it begins at nought, as a Prometheus counter may.

    A letter that is read again, after a kill, is counted again: `letters` is never less than what was set aside since
    the run began to read, and more by what the run before it counted in its last second.
    """

    def __init__(self) -> None:
        """Begin at nought."""
        self.letters: Counter[tuple[str, str]] = Counter()
        """Letters by stage and reason."""
        self.replays = 0
        """Records that say that a letter was put back: they are about a letter that is counted, and no further one."""
        self.unusable: Counter[str] = Counter()
        """Records of the topic that are no dead letters, by why: `undecodable`, `poisoned` (counting itself failed)."""

    async def take(self, value: bytes | None) -> None:
        """Count a record. Raises wire.Undecodable if it is no dead letter."""
        letter = wire.decode(value or b"", DeadLetter)
        if letter.replayed_as is not None:
            self.replays += 1
        else:
            self.letters[letter.stage, letter.reason] += 1

    async def set_aside(self, _: bytes | None, error: Exception) -> None:
        """Count a record that could not be taken. No letter is written about it: it would come here again."""
        self.unusable[UNDECODABLE if isinstance(error, wire.Undecodable) else POISONED] += 1

    def told(self) -> dict[str, int]:
        """Return the counts as a log line names them, such as `enricher/unknown_camera`."""
        letters = {f"{stage}/{reason}": number for (stage, reason), number in sorted(self.letters.items())}
        unusable = {f"unusable/{reason}": number for reason, number in sorted(self.unusable.items())}
        return letters | ({"replays": self.replays} if self.replays else {}) | unusable
