"""What a person may ask for: to see what is stored, and to have it deleted."""

from __future__ import annotations

import io
import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_sessions_plus import privacy, sessions
from django_sessions_plus.bulk import locking
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_ended
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Told

pytestmark = pytest.mark.django_db(transaction=True)

HERE = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "curl/8.6.0"}
SECRETS = {
    "api_key": "secret-1",
    "nested": {"deep": [{"otp": "secret-2", "size": 3}]},
    "_password_reset_token": "secret-3",
}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "CHUNK_SIZE", 2)
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 2)


def signed_in(user: User, **data: Any) -> SyncSession:
    store = SyncSession(None, HERE)
    sign_in(store, user)
    for key, value in data.items():
        store.set(key, value)
    store.save()
    return store


def expire(store: SyncSession) -> None:
    Session.objects.filter(pk=store.row.pk).update(expires_at=timezone.now() - timedelta(days=1))


def run(command: str, *arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "accessToken",
        "refresh-token",
        "X-Api-Key",
        "APIKey",
        "apikey",
        "oauth.token",
        "clientSecret",
        "backup_tokens",
        "passwords",
        "session_key",
        "idToken",
        "PIN",
    ],
)
def test_a_secret_is_one_however_its_name_is_written(name: str):
    assert privacy._without_secrets({"data": [{name: "secret-4"}]}) == {
        "data": [{name: "(withheld)"}]
    }


@pytest.mark.parametrize("name", ["spinning", "monkey", "tokenizer", "address", "hashtag", "keys"])
def test_what_only_sounds_like_a_secret_is_told(name: str):
    assert privacy._without_secrets({name: "blue"}) == {name: "blue"}


class TestExport:
    def test_it_tells_everything_but_the_secrets(self, alice: User, bob: User):
        store = signed_in(alice, colour="red", **SECRETS)
        sessions.issue_tokens(store.row)
        ended = signed_in(alice)
        sessions.revoke(ended.row, actor=bob)
        expired = signed_in(alice)
        expire(expired)
        signed_in(bob, colour="blue")
        told = json.loads(run("sessions_export", "alice"))
        assert told["user"] == {"id": str(alice.pk), "username": "alice"}
        found = {each["id"]: each for each in told["sessions"]}
        assert found.keys() == {str(each.row.pk) for each in (store, ended, expired)}
        assert {each["status"] for each in found.values()} == {"active", "ended", "expired"}
        living, over = found[str(store.row.pk)], found[str(ended.row.pk)]
        assert living["ip_address"] == "192.0.2.1"
        assert living["user_agent"] == "curl/8.6.0"
        assert living["device"] == "curl"
        assert living["has_refresh_token"] is True
        assert living["data"] == {
            "colour": "red",
            "api_key": "(withheld)",
            "nested": {"deep": [{"otp": "(withheld)", "size": 3}]},
        }
        assert (over["end_reason"], over["ended_by_id"]) == ("revoked", bob.pk)

    def test_where_a_session_was_used_before_is_told(self, alice: User):
        signed_in(alice)
        Session.objects.update(
            context_changed_at=timezone.now(),
            previous_ip_address="198.51.100.1",
            previous_user_agent="curl/7.0",
        )
        (record,) = json.loads(run("sessions_export", "alice"))["sessions"]
        assert record["previous_ip_address"] == "198.51.100.1"
        assert record["previous_user_agent"] == "curl/7.0"
        assert record["context_changed_at"] is not None

    def test_no_secret_is_in_it(self, alice: User):
        store = signed_in(alice, **SECRETS)
        pair = sessions.issue_tokens(store.row)
        row = store.stored
        text = run("sessions_export", str(alice.pk))
        for secret in (
            *(store.token, row.token_digest, row.refresh_digest, pair.refresh),
            *(alice.get_session_auth_hash(), alice.password, "secret-"),
        ):
            assert str(secret) not in text

    def test_every_column_is_told_or_left_out_on_purpose(self, alice: User):
        signed_in(alice)
        (record,) = privacy.records(alice)
        columns = {field.attname for field in Session._meta.concrete_fields}
        assert columns - record.keys() == {
            *("token_digest", "refresh_digest", "refresh_attempt", "session_data", "version")
        }

    def test_it_is_written_while_it_is_read(self, alice: User, statements: Any):
        for _ in range(5):
            signed_in(alice)
        with statements() as executed:
            records = privacy.records(alice)
            assert executed == []
            next(records)
            records.close()
        assert len(executed.reads) <= 1

    def test_a_person_without_sessions_gets_an_empty_list(self, alice: User):
        assert json.loads(run("sessions_export", "alice"))["sessions"] == []

    def test_a_file_is_for_its_owner_alone_and_never_overwritten(self, alice: User, tmp_path: Path):
        signed_in(alice)
        path = tmp_path / "alice.json"
        assert run("sessions_export", "alice", "--output", str(path)) == ""
        assert len(json.loads(path.read_text())["sessions"]) == 1
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(CommandError, match="exists"):
            run("sessions_export", "alice", "--output", str(path))

    def test_half_an_export_is_not_left_behind(
        self, alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        signed_in(alice)
        monkeypatch.setattr(privacy, "_record", lambda session: 1 / 0)
        path = tmp_path / "alice.json"
        with pytest.raises(ZeroDivisionError):
            run("sessions_export", "alice", "--output", str(path))
        assert not path.exists()

    @pytest.mark.parametrize("command", ["sessions_export", "sessions_erase"])
    def test_it_has_to_be_somebody(self, alice: User, command: str):
        for arguments in (["nobody"], ["--user-id", "0"], [], ["alice", "--user-id", "1"]):
            with pytest.raises(CommandError):
                run(command, *arguments)


class TestErase:
    @pytest.fixture
    def stores(self, alice: User, bob: User) -> list[SyncSession]:
        """One that lives, one that has expired, three that have ended; and one of somebody else."""
        stores = [signed_in(alice) for _ in range(5)]
        expire(stores[1])
        for store in stores[2:]:
            sessions.revoke(store.row)
        sessions.revoke(signed_in(bob).row)
        return stores

    def test_it_deletes_what_is_over_and_nothing_else(self, alice: User, stores: Any, told: Told):
        seen: list[int] = []
        assert privacy.erase(alice, progress=seen.append) == 4
        assert seen == [2, 4]
        assert Session.objects.for_user(alice).get().pk == stores[0].row.pk
        assert Session.objects.count() == 2
        assert told == []

    def test_all_of_it_signs_the_person_out_first(
        self, alice: User, bob: User, stores: Any, told: Told
    ):
        assert privacy.erase(alice, active=True, actor=bob) == 5
        assert not Session.objects.for_user(alice).exists()
        assert Session.objects.for_user(bob).exists()
        (said,) = told.of(session_ended)
        assert (said["session"].pk, said["actor"]) == (stores[0].row.pk, bob)
        # No copy of it opens anything.
        again = SyncSession(stores[0].token, HERE)
        assert again.get("_auth_user_id") is None

    def test_the_twin_does_the_same(self, alice: User, stores: Any):
        assert async_to_sync(privacy.aerase)(alice, active=True) == 5

    def test_the_command_tells_how_many(self, alice: User, stores: Any):
        assert "Erased 4 sessions." in run("sessions_erase", "alice", "--no-input")
        assert "Erased 1 sessions." in run("sessions_erase", "alice", "--all", "--no-input")

    @pytest.mark.parametrize(("answer", "left"), [("erase", 1), ("yes", 5), ("", 5)])
    def test_it_asks_first(
        self,
        alice: User,
        stores: Any,
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        left: int,
    ):
        monkeypatch.setattr("builtins.input", lambda prompt: answer)
        if answer == "erase":
            run("sessions_erase", "alice")
        else:
            with pytest.raises(CommandError, match="Nothing was erased"):
                run("sessions_erase", "alice")
        assert Session.objects.for_user(alice).count() == left
