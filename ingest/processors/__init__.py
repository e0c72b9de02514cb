"""The stages as services of Faust apps, and agents for events of low rate. This is the only package that knows Faust.

An agent of Faust's loses the event on which it raises, and takes one event after another, at less than a twentieth of
both batch stages' rate (`end_to_end_agent` in docs/performance.md). So agents are for streams that people could read
along, and `run_agent` sets aside what raises, and ends where even that fails.
"""

from ingest.processors.agents import Event as Event
from ingest.processors.agents import SetAside as SetAside
from ingest.processors.agents import Take as Take
from ingest.processors.agents import run_agent as run_agent
from ingest.processors.app import LET_GO_S as LET_GO_S
from ingest.processors.stages import run as run
