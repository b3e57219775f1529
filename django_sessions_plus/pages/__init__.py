"""The devices page, without JavaScript. Must change sessions only by the functions in ``sessions``."""
