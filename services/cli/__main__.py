"""`python -m services.cli`: the same as `platetrail`."""

from services.cli import main

main()
