from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_sessions_plus", "0003_permissions"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="context_changed_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="network or browser changed"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="previous_ip_address",
            field=models.GenericIPAddressField(
                blank=True, editable=False, null=True, verbose_name="previous IP address"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="previous_user_agent",
            field=models.CharField(
                blank=True,
                editable=False,
                max_length=512,
                null=True,
                verbose_name="previous user agent",
            ),
        ),
    ]
