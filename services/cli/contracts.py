"""`platetrail contracts`: the documents of all interfaces, HTTP and topics."""

import importlib
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from services.cli.failures import NOT_SO, Failure

FOLDER: Final = Path("docs/contracts")
TOPICS: Final = "topics.asyncapi.json"
SERVICES: Final = ("gateway", "search", "auditing", "deadletters")


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    says = "Describe every interface: OpenAPI for HTTP, AsyncAPI for topics."
    group = typer.Typer(help=says, no_args_is_help=True, rich_markup_mode="markdown")
    group.command("write")(write)
    group.command("check")(check)
    app.add_typer(group, name="contracts", rich_help_panel="Those who run it")


_Folder = Annotated[Path, typer.Option(help="Where the documents are.")]


def write(
    folder: _Folder = FOLDER,
    breaking: Annotated[bool, typer.Option("--breaking", help="Write what breaks its older document too.")] = False,
) -> None:
    """Write the documents of this version: one OpenAPI 3.1 file a service, and AsyncAPI 3 for the topics.

    Documents that are there are replaced, unless that would break whoever relies on them: a route or a member that is
    gone, another type, a new requirement. Give the shape a new version then.

    **Example**

        platetrail contracts write --folder /tmp/contracts && ls /tmp/contracts
    """
    made = documents()
    broken = [] if breaking else breaks(folder, made)
    if broken:
        raise Failure("\n".join(["these changes break what was promised:", *broken]), NOT_SO)
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in made.items():
        (folder / name).write_bytes(as_text(document))
    Console(soft_wrap=True).print(f"{len(made)} documents are in {folder}.", markup=False)


def check(folder: _Folder = FOLDER) -> None:
    """Check that the documents in a folder are those of this version. Exits with 1 if not, and says what differs.

    **Example**

        platetrail contracts check
    """
    made = documents()
    broken = breaks(folder, made)
    stale = [name for name in made if read(folder / name) != made[name]]
    if broken or stale:
        says = [*broken, *(f"{name} is not of this version: make contracts" for name in stale)]
        raise Failure("\n".join(["the documents are out of date:", *says]), NOT_SO)


def documents() -> dict[str, dict[str, Any]]:
    """Return every document of this version, by the name of its file. Nothing is connected."""
    from schemas import asyncapi

    made = {f"{name}.openapi.json": _openapi(name) for name in SERVICES}
    made[TOPICS] = asyncapi.document(version("platetrail"))
    # As others see them: tuples and the like become JSON's.
    return {name: msgspec.json.decode(msgspec.json.encode(document)) for name, document in made.items()}


def as_text(document: dict[str, Any]) -> bytes:
    """Return a document's file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read(file: Path) -> Any:
    """Return a document that was written, or None if there is none."""
    return msgspec.json.decode(file.read_bytes()) if file.exists() else None


def breaks(folder: Path, made: dict[str, dict[str, Any]]) -> list[str]:
    """Return what these documents break of those in a folder."""
    from schemas import compatibility

    found = []
    for name, document in made.items():
        older = read(folder / name)
        if older is not None:
            compare = compatibility.of_topics if name == TOPICS else compatibility.of_http
            found += [f"{name}: {one}" for one in compare(older, document)]
    return found


def _openapi(name: str) -> dict[str, Any]:
    """Return the document of a service: it is built with keys of its own, and never started."""
    from services.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        app = importlib.import_module(f"services.{name}").build(Settings(**_settings(Path(folder))))
    document: dict[str, Any] = app.openapi()
    return document


def _settings(folder: Path) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from search.audit import keys

    token = folder / "token.pub"
    public = Ed25519PrivateKey.generate().public_key()
    token.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    keys.make_pair(folder / "audit.key", folder / "audit.pub")
    keys.make_secret(folder / "lookup.key")
    keys.make_secret(folder / "cursor.key")
    (folder / "owners.json").write_text("{}")
    return {
        "owners_file": folder / "owners.json",
        "database_url": "postgresql://nobody@127.0.0.1:9/nothing",
        "token_public_key_file": token,
        "audit_public_key_file": folder / "audit.pub",
        "audit_private_key_file": folder / "audit.key",
        "lookup_key_file": folder / "lookup.key",
        "cursor_key_file": folder / "cursor.key",
    }
