"""Which parser reads which format. A new vendor is a module beside these and a line here."""

from typing import Final

from ingest.formats import native, openalpr
from ingest.formats.read import Parser

NATIVE: Final = "native"
OPENALPR: Final = "openalpr"

PARSERS: Final[dict[str, Parser]] = {
    NATIVE: native.parse,
    OPENALPR: openalpr.parse,
}
