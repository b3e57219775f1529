"""Where Django looks for the app's models."""

from tests.custom.engine import DeviceSession

__all__ = ["DeviceSession"]
