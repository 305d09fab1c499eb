"""Worlds whose workers die, in a file of their own: a worker imports the file of its world."""

from __future__ import annotations

import os
import signal
import time

from worlds import Counting, rows_of


class Mortal(Counting):
    """Whichever worker gets to this row first dies of it, once."""

    fatal_row = 60
    grave = None
    parent = None

    def _eps(self, prompts, x, alpha, sigma):
        if rows_of(self.log) > self.fatal_row and os.getpid() != self.parent:
            try:
                self.grave.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super()._eps(prompts, x, alpha, sigma)


class Doomed(Counting):
    """Every worker dies of its first row."""

    parent = None

    def _eps(self, prompts, x, alpha, sigma):
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._eps(prompts, x, alpha, sigma)


class Growing(Mortal):
    """One worker grows by 400 MB after its first second, as by a model, and joblib replaces it."""

    held = b""
    begun = 0.0

    def _eps(self, prompts, x, alpha, sigma):
        if os.getpid() != self.parent:
            time.sleep(0.05)
            Growing.begun = Growing.begun or time.monotonic()
            if time.monotonic() - Growing.begun > 0.5 and not self.grave.exists():
                self.grave.touch()
                Growing.held = b"x" * 400_000_000
        return Counting._eps(self, prompts, x, alpha, sigma)
