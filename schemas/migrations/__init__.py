"""The history of `schemas/tables.py`, and the roles that the database needs."""
