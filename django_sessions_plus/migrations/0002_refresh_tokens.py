from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_sessions_plus", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="refresh_digest",
            field=models.CharField(
                blank=True,
                editable=False,
                max_length=64,
                null=True,
                verbose_name="refresh token digest",
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="refresh_started_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="refresh tokens since"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="refreshed_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="refreshed"
            ),
        ),
    ]
