"""How one setting is read: from ``django.conf.settings`` at each access, and checked."""

from typing import Generic, TypeVar, overload

from django.conf import Settings
from django.conf import settings as django_settings
from django.utils.functional import empty

from django_sessions_plus.conf.kinds import Kind
from django_sessions_plus.exceptions import ConfigurationError

PREFIX = "SESSIONS_PLUS_"

T = TypeVar("T")

_attribute = object.__getattribute__


class Setting(Generic[T]):
    """One setting, as a descriptor: read on an instance of ``Config``, it is the present value."""

    def __init__(self, kind: Kind, default: T, meaning: str) -> None:
        self.kind = kind
        self.default = default
        self.meaning = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name

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
        # Not through the lazy object: there, a setting that is not set costs two microseconds, about ten
        # times in a request. Before the first access, ``_wrapped`` is ``empty``.
        settings = _attribute(django_settings, "_wrapped")
        value: T
        if type(settings) is Settings:
            value = getattr(settings, self.name, self.default)
        else:
            source = django_settings if settings is empty else settings
            value = getattr(source, self.name, self.default)
        if value is not self.default and not self.kind.accepts(value):
            shown = "something else" if self.kind.is_secret else repr(value)
            raise ConfigurationError(f"{self.name} must be {self.kind.wants}; it is {shown}.")
        return value

    def read(self) -> T:
        """Return the present value, for callers that hold the setting itself.

        Raises:
            ConfigurationError: the value is not of the kind that the setting needs.
        """
        return self.__get__(self, type(self))
