"""The write side: from a camera to the index."""
