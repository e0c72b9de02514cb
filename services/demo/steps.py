"""What the demo says while it works: one line a step, with how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text


class Steps:
    """Writes steps to a console."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self.console = console

    @contextmanager
    def doing(self, what: str) -> Iterator[list[str]]:
        """Show what is being done, then that it is done. Words that are put into the list stand behind it."""
        began, notes = time.monotonic(), list[str]()
        with self.console.status(what):
            yield notes
        took = time.monotonic() - began
        self.console.print(Text.assemble(("  ✓ ", "bold green"), what, (f"  {took:.1f} s", "dim")))
        if notes:
            self.console.print(Text("    " + ", ".join(notes), style="dim"))

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.print(Rule(Text(title, style="bold"), align="left", style="dim"))

    def say(self, *lines: str | Text) -> None:
        """Write lines, indented."""
        for line in lines:
            self.console.print(Padding(line if isinstance(line, Text) else Text(line), (0, 0, 0, 2), expand=False))
