"""A project that is unlike ours in everything it may choose, run in a process of its own.

REST framework reads its defaults when it is imported, and a user model is chosen once.
"""
