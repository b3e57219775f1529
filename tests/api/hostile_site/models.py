import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class PersonManager(BaseUserManager["Person"]):
    pass


class Person(AbstractBaseUser):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    portrait = models.FileField(blank=True)
    friend = models.ForeignKey("self", models.SET_NULL, null=True)
    birthday = models.DateField(null=True)
    secret = models.BinaryField(default=b"\xff")
    friends = models.ManyToManyField("self")

    objects = PersonManager()

    USERNAME_FIELD = "email"

    class Meta:
        app_label = "hostile_site"

    def __str__(self) -> str:
        return self.email
