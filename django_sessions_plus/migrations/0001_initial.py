import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import django_sessions_plus.bulk.deleting
import django_sessions_plus.tokens


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=django_sessions_plus.tokens.make_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                (
                    "token_digest",
                    models.CharField(editable=False, max_length=64, verbose_name="token digest"),
                ),
                (
                    "session_data",
                    models.TextField(blank=True, editable=False, verbose_name="session data"),
                ),
                (
                    "version",
                    models.PositiveBigIntegerField(
                        default=0, editable=False, verbose_name="version"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="created"),
                ),
                (
                    "authenticated_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="signed in"),
                ),
                (
                    "imported_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="imported"
                    ),
                ),
                (
                    "reauthentication_required",
                    models.BooleanField(
                        default=False, editable=False, verbose_name="must authenticate again"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="expiry moved"
                    ),
                ),
                (
                    "last_seen_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="last seen"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                (
                    "cookie_expires_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="cookie expires"
                    ),
                ),
                (
                    "ip_address",
                    models.GenericIPAddressField(blank=True, null=True, verbose_name="IP address"),
                ),
                (
                    "user_agent",
                    models.CharField(
                        blank=True, max_length=512, null=True, verbose_name="user agent"
                    ),
                ),
                (
                    "name",
                    models.CharField(blank=True, default="", max_length=100, verbose_name="name"),
                ),
                ("remember", models.BooleanField(default=True, verbose_name="remember")),
                (
                    "transport",
                    models.CharField(
                        default="cookie",
                        editable=False,
                        max_length=16,
                        verbose_name="transport",
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "end_reason",
                    models.CharField(
                        blank=True, default="", max_length=32, verbose_name="end reason"
                    ),
                ),
                (
                    "refresh_digest",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=64,
                        null=True,
                        verbose_name="refresh token digest",
                    ),
                ),
                (
                    "refresh_started_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="refresh tokens since"
                    ),
                ),
                (
                    "refreshed_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="refreshed"
                    ),
                ),
                (
                    "refresh_attempt",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=64,
                        null=True,
                        verbose_name="refresh attempt digest",
                    ),
                ),
                (
                    "refresh_replays_left",
                    models.PositiveSmallIntegerField(
                        default=0, editable=False, verbose_name="refresh replays left"
                    ),
                ),
                (
                    "confirmed_refreshed_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="refresh confirmed"
                    ),
                ),
                (
                    "context_changed_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        null=True,
                        verbose_name="network or browser changed",
                    ),
                ),
                (
                    "previous_ip_address",
                    models.GenericIPAddressField(
                        blank=True, editable=False, null=True, verbose_name="previous IP address"
                    ),
                ),
                (
                    "previous_user_agent",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=512,
                        null=True,
                        verbose_name="previous user agent",
                    ),
                ),
                (
                    "ended_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django_sessions_plus.bulk.deleting.set_null_within_database,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="ended by",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django_sessions_plus.bulk.deleting.cascade_within_database,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "permissions": [
                    ("issue_token", "Can issue a token for a user"),
                    ("revoke_session", "Can end sessions"),
                    ("introspect_token", "Can ask whether a token is active"),
                ],
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["user", "expires_at"], name="session_live"),
                    models.Index(fields=["expires_at"], name="session_purge"),
                    models.Index(fields=["end_reason", "expires_at"], name="session_expired"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("token_digest",), name="session_token")
                ],
            },
        ),
    ]
