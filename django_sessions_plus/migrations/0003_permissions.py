from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("django_sessions_plus", "0002_refresh_tokens"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="session",
            options={
                "base_manager_name": "objects",
                "permissions": [
                    ("issue_token", "Can issue a token for a user"),
                    ("revoke_session", "Can end sessions"),
                    ("introspect_token", "Can ask whether a token is active"),
                ],
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
            },
        ),
    ]
