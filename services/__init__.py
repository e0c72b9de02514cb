"""One module a running process: wiring only."""
