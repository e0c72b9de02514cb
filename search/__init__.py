"""The read side, and the record of who looked."""
