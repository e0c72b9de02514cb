"""What search needs of the outside world. Only services and tests import this: the door cannot be walked around."""
