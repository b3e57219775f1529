"""How one setting is read: from ``django.conf.settings``, checked, and kept until a setting changes."""

from typing import Generic, TypeVar, overload

from django.apps import apps
from django.conf import settings

from django_sessions_plus.conf.kinds import Kind
from django_sessions_plus.exceptions import ConfigurationError

PREFIX = "SESSIONS_PLUS_"

T = TypeVar("T")


class Setting(Generic[T]):
    """One setting, as a descriptor: read on an instance of ``Config``, it is the present value."""

    def __init__(self, kind: Kind, default: T, meaning: str) -> None:
        self.kind = kind
        self.default = default
        self.meaning = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute, self.name = name, PREFIX + name

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "Setting[T] | T":
        """Return the present value.

        Raises:
            ConfigurationError: the value is not of the kind that the setting needs.
        """
        if instance is None:
            return self
        value = self.read()
        # Until then an app's ``ready()`` may still assign settings.
        if apps.ready:
            # Found before a descriptor without ``__set__``, so that the next access is that of an attribute.
            vars(instance)[self.attribute] = value
        return value

    def read(self) -> T:
        """Return the present value, from ``django.conf.settings``.

        Raises:
            ConfigurationError: the value is not of the kind that the setting needs.
        """
        value: T = getattr(settings, self.name, self.default)
        if value is not self.default and not self.kind.accepts(value):
            shown = "something else" if self.kind.is_secret else repr(value)
            raise ConfigurationError(f"{self.name} must be {self.kind.wants}; it is {shown}.")
        return value
