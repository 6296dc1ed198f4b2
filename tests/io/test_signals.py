"""Signals that must wait."""

import signal
import threading

import pytest

from tunetseg.io.signals import held_signals


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("handled"))
    try:
        with held_signals():
            signal.raise_signal(signal.SIGTERM)
            heard.append("end")
        assert heard == ["end", "handled"]
        with held_signals():
            pass
        assert heard == ["end", "handled"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interruption_follows_an_error() -> None:
    @held_signals()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of what was interrupted")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_in_another_thread_nothing_is_done() -> None:
    handlers: list[object] = []

    def work() -> None:
        with held_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
