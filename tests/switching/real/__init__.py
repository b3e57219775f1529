"""Real sites on other session engines, each in an environment of its own, that switch to this one; see run.py."""
