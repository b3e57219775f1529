from django.urls import include, path

urlpatterns = [path("a/b/", include("django_sessions_plus.api.urls"))]
