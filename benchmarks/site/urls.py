"""The site of every contender that knows sessions."""

from django.urls import path

from benchmarks.site import views

urlpatterns = [
    path("plain/", views.plain),
    path("read/", views.read),
    path("write/", views.write),
    path("count/", views.count),
    path("async-read/", views.aread),
    path("async-write/", views.awrite),
]
