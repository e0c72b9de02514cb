"""Who acts in the demo, and the environment file for whoever wants to try it by hand."""

import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from schemas.queries import Role
from services.cli.issuer import issue
from services.demo.fleet import Fleet
from services.demo.folder import Folder
from services.demo.servers import Servers
from services.settings import Settings
from services.simulate.world import ASKING, World

INVESTIGATOR: Final = "i.vance@copper-mesa-so.example"
AUDITOR: Final = "r.okafor@copper-mesa-so.example"
LIFETIME: Final = timedelta(minutes=30)


class People:
    """Gives tokens of the local issuer."""

    def __init__(self, folder: Folder) -> None:
        """Sign with the key of the run."""
        self._folder = folder
        self._settings = Settings(
            environment="development",
            listen_host="127.0.0.1",
            listen_all=("127.0.0.1",),
            token_private_key_file=folder.key("token.private.pem"),
        )

    def investigator(self) -> str:
        """Return the investigator's token."""
        return self._token(INVESTIGATOR, ASKING.agency_id, "investigator")

    def auditor(self) -> str:
        """Return the auditor's token."""
        return self._token(AUDITOR, ASKING.agency_id, "auditor")

    def operators(self, world: World) -> dict[str, str]:
        """Return a camera operator's token for each agency."""
        return {
            one.agency_id: self._token(f"cameras@{one.agency_id}.example", one.agency_id, "camera_operator")
            for one in world.agencies
        }

    def write_environment(self, fleet: Fleet, servers: Servers) -> None:
        """Write what the commands need to use this installation: for its owner alone, and gone with the run."""
        folder = self._folder
        values = {
            "PLATETRAIL_ENVIRONMENT": "development",
            "PLATETRAIL_TOKEN_PRIVATE_KEY_FILE": folder.key("token.private.pem"),
            "PLATETRAIL_GATEWAY_URL": fleet.url("gateway"),
            "PLATETRAIL_SEARCH_URL": fleet.url("search"),
            "PLATETRAIL_AUDITING_URL": fleet.url("auditing"),
            "PLATETRAIL_DEADLETTERS_URL": fleet.url("deadletters"),
            "PLATETRAIL_AUDITING_DATABASE_URL": servers.database.url("platetrail_auditing"),
            "PLATETRAIL_KAFKA_BOOTSTRAP": servers.bootstrap,
        }
        lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in values.items()]
        programs = shlex.quote(str(Path(sys.executable).parent))
        lines.append(f'export PATH={programs}:"$PATH"\n')  # where `platetrail` is
        folder.environment.touch(mode=0o600)
        folder.environment.write_text("".join(lines))

    def _token(self, person: str, agency: str, role: Role) -> str:
        return issue(self._settings, person=person, agency=agency, roles=[role], lifetime=LIFETIME)
