"""What an answer can be turned into. Pure."""
