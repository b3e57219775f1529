"""The site of the scale runs: this project's admin, and Django's default for the same rows."""

from django.contrib import admin
from django.urls import path

from benchmarks.site.urls import urlpatterns as trivial
from django_sessions_plus.models import Session

stock = admin.AdminSite(name="stock")
stock.register(Session)

urlpatterns = [path("admin/", admin.site.urls), path("stock/", stock.urls), *trivial]
