"""Which parser reads which format, and what its camera expects as an answer.

A new vendor is a module beside these, a line in each table here, and one in `recognise.py`.
"""

from typing import Final

import msgspec

from ingest.formats import (
    axis,
    dahua,
    dahua_itsapi,
    frigate,
    genetec,
    hikvision,
    native,
    ngsi,
    openalpr,
    platerecognizer,
    verkada,
)
from ingest.formats.read import Parser

NATIVE: Final = "native"
OPENALPR: Final = "openalpr"
PLATERECOGNIZER: Final = "platerecognizer"
HIKVISION: Final = "hikvision"
DAHUA: Final = "dahua"
DAHUA_ITSAPI: Final = "dahua_itsapi"
AXIS: Final = "axis"
NGSI: Final = "ngsi"
GENETEC: Final = "genetec"
VERKADA: Final = "verkada"
FRIGATE: Final = "frigate"

PARSERS: Final[dict[str, Parser]] = {
    NATIVE: native.parse,
    OPENALPR: openalpr.parse,
    PLATERECOGNIZER: platerecognizer.parse,
    HIKVISION: hikvision.parse,
    DAHUA: dahua.parse,
    DAHUA_ITSAPI: dahua_itsapi.parse,
    AXIS: axis.parse,
    NGSI: ngsi.parse,
    GENETEC: genetec.parse,
    VERKADA: verkada.parse,
    FRIGATE: frigate.parse,
}


class Answer(msgspec.Struct, frozen=True):
    """What a camera expects when its message was taken. Without a body it gets the report of what became of it."""

    status: int
    body: bytes | None = None
    media_type: str | None = None


REPORT: Final = Answer(202)

ANSWERS: Final[dict[str, Answer]] = {
    NATIVE: REPORT,
    OPENALPR: REPORT,
    PLATERECOGNIZER: Answer(200),  # Stream takes a webhook off its list that answers anything else
    HIKVISION: Answer(200, b""),
    DAHUA: Answer(200),
    DAHUA_ITSAPI: Answer(200, b'{"Result": true}', "application/json"),  # otherwise the camera sends again
    AXIS: Answer(200),
    NGSI: Answer(200),
    GENETEC: Answer(200),
    VERKADA: Answer(200),
    FRIGATE: REPORT,
}
