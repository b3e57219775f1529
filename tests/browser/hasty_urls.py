"""The example site's addresses, with an admin that signs everyone out in many short requests."""

from django_sessions_plus.admin import everyone
from example_project.urls import urlpatterns

__all__ = ["urlpatterns"]

# One batch for each request.
everyone.BUDGET = 0.0
