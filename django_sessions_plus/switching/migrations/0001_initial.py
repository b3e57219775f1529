import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = [
        migrations.CreateModel(
            name="ImportBarrier",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "user_key",
                    models.CharField(
                        blank=True, editable=False, max_length=255, verbose_name="user"
                    ),
                ),
                ("before", models.DateTimeField(editable=False, verbose_name="nothing before")),
            ],
            options={
                "verbose_name": "import barrier",
                "verbose_name_plural": "import barriers",
                "constraints": [
                    models.UniqueConstraint(fields=("user_key",), name="switching_user")
                ],
            },
        ),
        migrations.CreateModel(
            name="ImportedKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(editable=False, max_length=64, verbose_name="digest")),
                (
                    "source",
                    models.CharField(editable=False, max_length=200, verbose_name="imported from"),
                ),
                (
                    "imported_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="imported"
                    ),
                ),
                (
                    "sealed_key",
                    models.CharField(
                        blank=True, editable=False, max_length=64, verbose_name="encrypted key"
                    ),
                ),
            ],
            options={
                "verbose_name": "imported key",
                "verbose_name_plural": "imported keys",
                "constraints": [
                    models.UniqueConstraint(fields=("digest",), name="switching_digest")
                ],
            },
        ),
    ]
