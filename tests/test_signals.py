"""Signals that must wait."""

import signal
import threading

import pytest

from tunetseg.signals import held_signals


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


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_what_schedulers_send_waits_too() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with held_signals():
            signal.raise_signal(signal.SIGUSR1)
            assert heard == []
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_interruption_follows_an_error() -> None:
    @held_signals()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of what was interrupted")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_done() -> None:
    handlers: list[object] = []

    def work() -> None:
        with held_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
