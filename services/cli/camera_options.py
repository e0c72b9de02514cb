"""What the commands of `platetrail camera` take."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.cameras import FORMATS, ClockUse, Format, Handling, Proof

CameraId = Annotated[str, typer.Argument(help="The camera's id.")]
Name = Annotated[str | None, typer.Option(help="What people call the place.")]
Latitude = Annotated[float | None, typer.Option(min=-90, max=90, help="Degrees, WGS 84.")]
Longitude = Annotated[float | None, typer.Option(min=-180, max=180, help="Degrees, WGS 84.")]
Zone = Annotated[str | None, typer.Option(help="IANA name, such as America/Denver.")]
Heading = Annotated[float | None, typer.Option(min=0, max=360, help="Degrees clockwise from north.")]
Lanes = Annotated[int | None, typer.Option(min=1, help="How many lanes it watches.")]
Clock = Annotated[
    ClockUse | None,
    typer.Option(
        help="Believe its times; correct them by --clock-offset; or use times of arrival (trusted unless set)."
    ),
]
ClockOffset = Annotated[float | None, typer.Option(help="Seconds to add to its times (with --clock offset).")]
ClockUncertainty = Annotated[
    float | None, typer.Option(min=0, help="Seconds by which its times may be wrong either way (2 unless set).")
]
Bound = Annotated[
    Format | None,
    typer.Option("--format", metavar="FORMAT", help=f"What it sends, if nothing else: {', '.join(FORMATS)}."),
]
Handled = Annotated[
    Handling | None,
    typer.Option(help="Keep its reads as your rules say, or match and discard them (standard unless set)."),
]
Network = Annotated[str | None, typer.Option(help="The camera network that may send its reads for it.")]
ActiveFrom = Annotated[str | None, typer.Option(help="When it may begin to push: RFC 3339 with an offset, or `now`.")]
ActiveUntil = Annotated[str | None, typer.Option(help="From when on it may push no more.")]
Proving = Annotated[
    Proof | None,
    typer.Option(help="How it proves itself; what its format permits is in docs/cameras.md (key unless set)."),
]
Certificate = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Its certificate (PEM), with --proof certificate.")
]
DeviceId = Annotated[str | None, typer.Option(help="Its vendor's own id of it, with --proof signature.")]
SigningSecret = Annotated[
    Path | None,
    typer.Option(
        "--signing-secret-file", exists=True, dir_okay=False, help="Holds what its vendor signs with, likewise."
    ),
]
NewKeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Write the key to this new file (0600) instead of showing it.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Write the key to this file (0600), in place of an older key, instead of showing it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came.")]
