"""The kinds of sources that sites switch from: a module each, chosen in engines.py. base.py says what a kind answers.

The run, the old site and the new site ask them, each in an environment of its own: the run has no Django, and
the old site has not this package. So a function imports what only its caller has.
"""
