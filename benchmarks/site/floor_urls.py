"""The same addresses without session and user: what the handler costs by itself."""

from django.urls import path

from benchmarks.site import views

urlpatterns = [path("read/", views.plain), path("async-read/", views.aplain)]
