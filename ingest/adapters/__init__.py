"""What ingest needs of the outside world, as its ports ask for it."""
