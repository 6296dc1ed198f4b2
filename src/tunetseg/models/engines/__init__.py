"""Engines: what runs a network. OpenVINO on a CPU, PyTorch on a GPU, and others by name."""

from tunetseg.models.engines.choice import ENGINES, choose_engine
from tunetseg.models.engines.protocol import Engine, RunnableNetwork

__all__ = ["ENGINES", "Engine", "RunnableNetwork", "choose_engine"]
