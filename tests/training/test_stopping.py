"""Signals are remembered inside, and do what they did before outside."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest
import torch

from tunetseg.training.callbacks import Clock, Control
from tunetseg.training.processes import Processes
from tunetseg.training.stopping import StopRequest, StopTraining


def test_a_signal_is_remembered_and_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_second_ctrl_c_interrupts_at_once() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_during_the_exchange_of_processes_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes stop together, at the next exchange."""
    processes = Processes()

    def largest(self: Processes, values: list[float], device: torch.device) -> list[float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return values

    monkeypatch.setattr(Processes, "largest", largest)
    with StopRequest() as stop:
        control = Control(Clock(), lambda left: 1.0, 1, None, stop, processes)  # type: ignore[arg-type]
        module = SimpleNamespace(device=torch.device("cpu"))
        control.on_train_epoch_end(None, module)  # type: ignore[arg-type]
        assert stop.signum == signal.SIGTERM
        with pytest.raises(StopTraining):
            control.on_train_epoch_end(None, module)  # type: ignore[arg-type]


def test_other_threads_change_nothing() -> None:
    handlers: list[object] = []

    def enter() -> None:
        with StopRequest() as stop:
            stop.install()
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
