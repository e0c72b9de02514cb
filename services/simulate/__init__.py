"""The simulator: a seeded world whose cameras push reads over HTTP, and the truth to hold the answers against.

`world.build(seed)` gives the world, `generate(world, now)` what happens in it, `run(truth, gateway_url, keys)` pushes
it, `truth.choose_vehicle` finds a vehicle worth asking for, `truth.agrees` compares.
"""

from services.simulate.simulation import Counts, count, generate, run

__all__ = ["Counts", "count", "generate", "run"]
