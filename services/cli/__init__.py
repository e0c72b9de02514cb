"""`platetrail`, one command for those who run, ask and audit: a module a group; imports wait until they are needed."""


def main() -> None:
    """Run the command line."""
    from services.cli.app import run

    run()
