"""The commands: what they delete and end, what they say, and how they stop."""

from __future__ import annotations

import io
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import deleting, ending, purging
from django_sessions_plus.bulk.time_limit import TimeIsUpError
from django_sessions_plus.management import counting, progress
from django_sessions_plus.management.commands import clearsessions
from django_sessions_plus.models import Session
from tests.backends.cached import ENGINE, TestedCache

DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClearingStore(SessionStore):
    """A project's own, which has more to clear."""

    cleared = 0

    @classmethod
    def clear_expired(cls) -> None:
        cls.cleared += 1


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "BATCH_SIZE", 10)
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 10)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="engine")


@pytest.fixture
def cached(transactional_db: None, settings: Any) -> Iterator[type[TestedCache]]:
    """The engine with a cache that can be down."""
    settings.SESSION_ENGINE = ENGINE
    settings.CACHES = {"default": {"BACKEND": "tests.backends.cached.TestedCache"}}
    TestedCache.asked.clear()
    yield TestedCache
    TestedCache.is_down = False


def store(number: int, user: User | None = None, age: timedelta = -DAY) -> None:
    now = timezone.now()
    Session.objects.bulk_create(
        Session(token_digest=uuid.uuid4().hex * 2, user=user, expires_at=now - age - n * DAY / 1000)
        for n in range(number)
    )


def run(command: str, *arguments: str, out: io.StringIO | None = None, **options: Any) -> str:
    out = out or io.StringIO()
    call_command(command, *arguments, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def _interrupt_after_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C in the middle of the first batch."""

    def press(delete: Any) -> Any:
        def act(*args: Any, **kwargs: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return delete(*args, **kwargs)

        return act

    monkeypatch.setattr(purging, "delete", press(deleting.delete))
    monkeypatch.setattr(ending, "_end_batch", press(ending._end_batch))


class TestClearSessions:
    def test_it_purges_and_tells_the_figures(self, ada: User):
        store(25, age=DAY)
        store(5, ada, age=40 * DAY)
        store(3, ada)
        text = run("clearsessions")
        assert "Deleted 30 sessions (25 anonymous, 5 signed in)" in text
        assert "longest statement" in text
        assert "Stopped" not in text
        assert Session.objects.count() == 3

    def test_it_says_nothing_when_it_is_to_be_quiet(self):
        store(25, age=DAY)
        assert run("clearsessions", verbosity=0, out=Terminal()) == ""
        assert not Session.objects.exists()

    def test_a_dry_run_counts_and_deletes_nothing(self, ada: User, monkeypatch: pytest.MonkeyPatch):
        store(25, age=DAY)
        store(5, ada, age=40 * DAY)
        assert "25 anonymous and 5 signed-in" in run("clearsessions", "--dry-run")
        monkeypatch.setattr(purging, "MAX_COUNT", 20)
        assert "20 or more anonymous and 5 signed-in" in run("clearsessions", "--dry-run")
        assert Session.objects.count() == 30

    def test_it_stops_when_its_time_is_up(self):
        store(25, age=DAY)
        text = run("clearsessions", "--max-seconds", "0.000001")
        assert "Deleted 10 sessions" in text
        assert "Stopped before the end" in text
        assert Session.objects.count() == 15

    def test_the_size_of_a_batch_can_be_chosen(self):
        store(25, age=DAY)
        run("clearsessions", "--max-seconds", "0.000001", "--batch-size", "7")
        assert Session.objects.count() == 18

    @pytest.mark.parametrize("option", ["--max-seconds", "--batch-size"])
    @pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", "1e300", "9" * 5000])
    def test_a_bound_that_is_none_is_refused(self, option: str, value: str):
        store(1, age=DAY)
        with pytest.raises(CommandError, match="not a number above zero"):
            run("clearsessions", f"{option}={value}")
        assert Session.objects.exists()

    @pytest.mark.usefixtures("_interrupt_after_a_batch")
    def test_ctrl_c_stops_after_the_batch_and_the_figures_are_told(self):
        store(25, age=DAY)
        out, before = io.StringIO(), signal.getsignal(signal.SIGINT)
        with pytest.raises(CommandError) as caught:
            run("clearsessions", out=out)
        assert caught.value.returncode == 130
        assert "Deleted 10 sessions" in out.getvalue()
        assert Session.objects.count() == 15
        assert signal.getsignal(signal.SIGINT) is before

    @pytest.mark.parametrize("out", [Terminal(), io.StringIO()], ids=["terminal", "file"])
    def test_a_bar_is_drawn_on_a_terminal_alone(self, out: io.StringIO):
        store(25, age=DAY)
        run("clearsessions", out=out)
        assert ("10 of 25" in out.getvalue()) is out.isatty()

    def test_a_bar_can_be_declined(self):
        store(25, age=DAY)
        assert "\r" not in run("clearsessions", "--no-progress", out=Terminal())

    def test_a_foreign_engine_clears_in_its_own_way(self, settings: Any):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        store(1, age=DAY)
        assert run("clearsessions") == ""
        assert Session.objects.exists()

    @pytest.mark.parametrize("option", ["--dry-run", "--max-seconds=5", "--batch-size=5"])
    def test_a_foreign_engine_is_not_asked_for_what_it_cannot(self, settings: Any, option: str):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        with pytest.raises(CommandError, match=option.partition("=")[0]):
            run("clearsessions", option)

    def test_an_engine_that_clears_more_than_ours_does_it(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ):
        # The command must have been imported before the store is another one.
        assert clearsessions.Command.help
        engine = import_module(settings.SESSION_ENGINE)
        monkeypatch.setattr(engine, "SessionStore", ClearingStore)
        run("clearsessions")
        assert ClearingStore.cleared == 1


class TestRevokeSessions:
    def test_it_ends_the_sessions_of_the_users_it_names(self, ada: User):
        bob, eve = User.objects.create_user("bob"), User.objects.create_user("eve")
        for user in (ada, bob, eve):
            store(12, user)
        text = run("revoke_sessions", "--user", "ada", "--user", str(bob.pk), "--reason=incident")
        assert "Ended 24 sessions" in text
        assert {row.user for row in Session.objects.active()} == {eve}
        assert {row.end_reason for row in Session.objects.ended()} == {"incident"}

    def test_what_is_the_name_of_one_and_the_key_of_another_is_refused(self, ada: User):
        namesake = User.objects.create_user(str(ada.pk))
        store(1, ada)
        store(1, namesake)
        words = rf"--user-id {namesake.pk} or --user-id {ada.pk}"
        with pytest.raises(CommandError, match=words):
            run("revoke_sessions", "--user", str(ada.pk))
        assert Session.objects.active().count() == 2
        run("revoke_sessions", "--user-id", str(ada.pk))
        assert Session.objects.active().get().user == namesake
        run("revoke_sessions", "--user-id", str(namesake.pk))
        assert not Session.objects.active().exists()

    def test_who_is_named_by_their_own_key_is_meant(self, ada: User):
        User.objects.filter(pk=ada.pk).update(username=str(ada.pk))
        store(1, ada)
        run("revoke_sessions", "--user", str(ada.pk))
        assert not Session.objects.active().exists()

    @pytest.mark.parametrize("key", ["ada", "987654321", "x", str(10**30), ""])
    def test_a_key_nobody_has_is_refused(self, ada: User, key: str):
        store(1, ada)
        with pytest.raises(CommandError, match=r"There is no user .*Nothing was ended\."):
            run("revoke_sessions", f"--user-id={key}")
        assert Session.objects.active().exists()

    def test_with_an_unknown_user_nothing_is_ended(self, ada: User):
        store(1, ada)
        with pytest.raises(CommandError, match="no user 'nobody'"):
            run("revoke_sessions", "--user", "ada", "--user", "nobody")
        assert Session.objects.active().exists()

    @pytest.mark.parametrize("arguments", [[], ["--all", "--user", "ada"]])
    def test_it_has_to_be_told_whose(self, ada: User, arguments: list[str]):
        with pytest.raises(CommandError):
            run("revoke_sessions", *arguments)

    @pytest.mark.parametrize("answer", ["", "y", "yes", EOFError])
    def test_everyone_is_signed_out_only_after_a_word(
        self, ada: User, monkeypatch: pytest.MonkeyPatch, answer: Any
    ):
        def say(prompt: str) -> str:
            if answer is EOFError:
                raise EOFError
            return str(answer)

        store(1, ada)
        monkeypatch.setattr("builtins.input", say)
        with pytest.raises(CommandError, match=r"Nothing was ended\."):
            run("revoke_sessions", "--all")
        assert Session.objects.active().exists()
        monkeypatch.setattr("builtins.input", lambda prompt: "everyone")
        assert "Ended 1 sessions" in run("revoke_sessions", "--all")

    def test_everyone_is_signed_out_without_a_question_where_none_is_wanted(self, ada: User):
        store(25, ada)
        store(3)
        assert "Ended 25 sessions" in run("revoke_sessions", "--all", "--no-input")
        assert Session.objects.active().count() == 3

    def test_it_says_nothing_when_it_is_to_be_quiet(self, ada: User):
        store(2, ada)
        assert run("revoke_sessions", "--user=ada", verbosity=0, out=Terminal()) == ""
        assert not Session.objects.active().exists()

    def test_the_bar_goes_on_from_user_to_user(self, ada: User, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(progress, "INTERVAL", 0)
        store(12, ada)
        store(12, User.objects.create_user("bob"))
        text = run("revoke_sessions", "--user=ada", "--user=bob", out=Terminal())
        assert [f"{done} of 24" in text for done in (10, 12, 22, 24)] == [True] * 4

    @pytest.mark.usefixtures("_interrupt_after_a_batch")
    def test_ctrl_c_stops_after_the_batch_and_the_figures_are_told(self, ada: User):
        store(25, ada)
        out = io.StringIO()
        with pytest.raises(CommandError) as caught:
            run("revoke_sessions", "--all", "--no-input", out=out)
        assert caught.value.returncode == 130
        assert "Ended 10 sessions" in out.getvalue()
        assert Session.objects.active().count() == 15

    def test_a_reason_that_does_not_fit_is_refused(self, ada: User):
        store(1, ada)
        with pytest.raises(CommandError, match="32"):
            run("revoke_sessions", "--user=ada", "--reason", "x" * 33)
        assert Session.objects.active().exists()

    @pytest.mark.parametrize("reason", ["", " "])
    def test_a_reason_that_says_nothing_is_refused(self, ada: User, reason: str):
        store(1, ada)
        with pytest.raises(CommandError, match="reason"):
            run("revoke_sessions", "--user=ada", "--reason", reason)
        assert Session.objects.active().exists()

    @pytest.mark.parametrize("is_quiet", [False, True])
    def test_it_fails_where_the_cache_could_not_be_told(
        self, ada: User, cached: type[TestedCache], is_quiet: bool
    ):
        store(12, ada)
        out = io.StringIO()
        cached.is_down = True
        with pytest.raises(CommandError, match="sessions_refresh_cache") as caught:
            run("revoke_sessions", "--user=ada", out=out, verbosity=int(not is_quiet))
        assert caught.value.returncode == 1
        assert ("Ended 12 sessions" in out.getvalue()) is not is_quiet
        assert not Session.objects.active().exists()

    @pytest.mark.usefixtures("_interrupt_after_a_batch")
    def test_it_tells_that_it_was_interrupted_as_well(self, ada: User, cached: type[TestedCache]):
        store(25, ada)
        cached.is_down = True
        with pytest.raises(
            CommandError, match=r"(?s)sessions_refresh_cache.*Interrupted"
        ) as caught:
            run("revoke_sessions", "--user=ada")
        assert caught.value.returncode == 130

    def test_a_cache_that_was_told_is_no_failure(self, ada: User, cached: type[TestedCache]):
        store(12, ada)
        assert "Ended 12 sessions" in run("revoke_sessions", "--user=ada")
        assert "delete_many" in cached.asked

    def test_an_engine_without_rows_has_nothing_to_end(self, ada: User, settings: Any):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        with pytest.raises(CommandError, match="signed_cookies"):
            run("revoke_sessions", "--user=ada")


class TestBar:
    def test_it_shows_the_part_that_is_done(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(progress, "INTERVAL", 0)
        out = Terminal()
        bar = progress.Bar(OutputWrapper(out), 2000)
        bar(0)
        bar(1000)
        bar(3000)
        shown = out.getvalue().split("\r")
        assert f"[{'.' * 30}]   0%  0 of 2,000" in shown
        assert f"[{'#' * 15}{'.' * 15}]  50%  1,000 of 2,000" in shown
        assert f"[{'#' * 30}] 100%  3,000 of 2,000" in shown
        assert "\n" not in out.getvalue()

    def test_without_a_total_it_counts(self):
        out = Terminal()
        progress.Bar(OutputWrapper(out), None)(1234567)
        assert out.getvalue().endswith("1,234,567")

    def test_it_is_drawn_now_and_then_and_wiped_at_the_end(self, monkeypatch: pytest.MonkeyPatch):
        clock = [100.0]
        monkeypatch.setattr(f"{progress.__name__}.monotonic", lambda: clock[0])
        out = Terminal()
        bar = progress.Bar(OutputWrapper(out), None)
        bar(1)
        bar(2)
        clock[0] += 2 * progress.INTERVAL
        bar(3)
        bar.clear()
        assert [text for text in out.getvalue().split("\r") if text.strip()] == ["1", "3"]
        assert out.getvalue().endswith(" \r")

    def test_a_bar_that_was_never_drawn_leaves_nothing(self):
        out = Terminal()
        progress.Bar(OutputWrapper(out), None).clear()
        assert out.getvalue() == ""


class TestInterrupt:
    @pytest.fixture
    def _as_on_a_terminal(self) -> Iterator[None]:
        """Hear Ctrl-C, which a shell has what it runs in the background ignore."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.usefixtures("_as_on_a_terminal")
    def test_the_second_ctrl_c_acts_as_ever(self):
        with progress.interrupt() as asked:
            assert not asked
            signal.raise_signal(signal.SIGINT)
            assert asked
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def test_in_a_thread_there_is_nothing_to_hear(self):
        heard: list[bool] = []

        def listen() -> None:
            with progress.interrupt() as asked:
                heard.append(bool(asked))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        assert heard == [False]


@pytest.mark.parametrize("command", [["clearsessions"], ["revoke_sessions", "--all", "--no-input"]])
def test_a_bar_does_without_a_total_that_takes_long_to_count(
    command: list[str], monkeypatch: pytest.MonkeyPatch, db: None
):
    totals: list[int | None] = []
    module = import_module(f"django_sessions_plus.management.commands.{command[0]}")

    class Noted(module.Bar):  # type: ignore[misc, name-defined]
        def __init__(self, stream: Any, total: int | None) -> None:
            totals.append(total)
            super().__init__(stream, total)

    @contextmanager
    def stopped(alias: str, seconds: float) -> Iterator[None]:
        yield
        raise TimeIsUpError

    monkeypatch.setattr(module, "Bar", Noted)
    monkeypatch.setattr(module, "is_shown", lambda stream, options: True)
    call_command(*command, stdout=io.StringIO())
    for each in (module, counting):
        monkeypatch.setattr(each, "time_limit", stopped, raising=False)
    call_command(*command, stdout=io.StringIO())
    assert totals == [0, None]
