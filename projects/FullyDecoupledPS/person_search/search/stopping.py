"""Stopping a long run at a moment when nothing is lost."""

import signal
import threading


class StopRequest:
    """A context in which Ctrl-C and SIGTERM only set :attr:`signal_number`.

    The second Ctrl-C acts as it does elsewhere. Outside the main thread, where Python has no
    signals, it does nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.signal_number = 0
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._note) for n in self.SIGNALS}
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        if self.signal_number:
            raise KeyboardInterrupt
        self.signal_number = number

    def __bool__(self) -> bool:
        return self.signal_number != 0
