"""A small real site that shows django-sessions-plus at work; read settings.py first."""
