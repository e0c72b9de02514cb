"""One world and one simulation for all tests of this folder: they are frozen values."""

import uuid
from datetime import UTC, datetime

import pytest

from services.simulate import generate, world
from services.simulate.truth import Truth
from services.simulate.world import World

SEED = 20
NOW = datetime(2026, 11, 25, 18, 30, tzinfo=UTC)
"""A Wednesday: the three days before hold a Sunday evening and working days."""


@pytest.fixture(scope="session")
def a_world() -> World:
    return world.build(SEED)


@pytest.fixture(scope="session")
def a_truth(a_world: World) -> Truth:
    return generate(a_world, NOW)


@pytest.fixture(scope="session")
def pushed(a_truth: Truth) -> Truth:
    """The truth as after a push in which every read was accepted."""
    return a_truth.with_answers({read.number: ("accepted", uuid.UUID(int=read.number + 1)) for read in a_truth.reads})
