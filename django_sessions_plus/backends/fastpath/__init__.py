"""The fast path: statements that are compiled once per process.

It must never answer anything but what the ORM would answer, and never fail where the ORM would not.
"""
