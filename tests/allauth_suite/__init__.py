"""The tests of django-allauth on this engine; see run.py."""
