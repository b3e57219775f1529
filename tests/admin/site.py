"""The admin as the tests see it: its addresses, sessions of users in it, and what a browser sends."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission
from django.urls import path
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.admin import SessionAdmin, UserSessionsMixin
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason

User = get_user_model()
if TYPE_CHECKING:
    _UserAdmin = UserAdmin[Any]
else:
    _UserAdmin = UserAdmin

site = admin.AdminSite(name="own")


class PeopleAdmin(UserSessionsMixin, _UserAdmin):
    """A project's admin of its users, with ours mixed in."""


class OtherPeopleAdmin(UserSessionsMixin, _UserAdmin):
    """The same on a site that does not know sessions."""


site.register(Session, SessionAdmin)
site.register(User, PeopleAdmin)
bare_site = admin.AdminSite(name="bare")
bare_site.register(User, OtherPeopleAdmin)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("own/", site.urls),
    path("bare/", bare_site.urls),
]

LIST = "/admin/django_sessions_plus/session/"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
SECRET = "what-only-the-session-knows"


def make_session(user=None, *, ip="192.0.2.7", agent=CHROME, **columns):
    now = timezone.now()
    defaults = {
        "token_digest": tokens.digest(tokens.make_token()),
        "session_data": SECRET,
        "authenticated_at": now if user else None,
        "expires_at": now + timedelta(days=14),
        "ip_address": ip,
        "user_agent": agent,
    }
    return Session.objects.create(user=user, **(defaults | columns))


def make_sessions(users):
    """One active session and one that has ended for each."""
    now = timezone.now()
    ended = {"ended_at": now, "expires_at": now, "end_reason": "fraud"}
    Session.objects.bulk_create(
        Session(
            token_digest=tokens.digest(tokens.make_token()),
            user=user,
            authenticated_at=now,
            ip_address="192.0.2.7",
            **columns,
        )
        for user in users
        for columns in ({"expires_at": now + timedelta(days=14)}, ended)
    )


def make_ended(user, **columns):
    now = timezone.now()
    ended = {"ended_at": now, "expires_at": now, "end_reason": EndReason.SIGNED_OUT}
    return make_session(user, **(ended | columns))


def make_staff(name, *codenames):
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def page(client, url=LIST, **params):
    return client.get(f"{url}?{urlencode(params)}" if params else url)


def shown(response):
    return {row.pk for row in response.context["cl"].result_list}


def act(client, *rows, action="end_selected", url=LIST, **data):
    chosen = {"action": action, "index": "0", "_selected_action": [str(row.pk) for row in rows]}
    return client.post(url, chosen | data, follow=True)
