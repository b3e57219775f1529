"""The names other code may rely on. One that goes, or comes, is a decision and not an accident."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import django_sessions_plus

SURFACE = {
    "backends.configured": {
        *("own_engine", "new_store", "report_invalidation_delay", "invalidation_delay"),
    },
    "backends.db": {"SessionStore"},
    "base_session": {"AbstractSession"},
    "client.responses": {
        *("SessionAuthError", "SignInError", "Tokens", "UnavailableError"),
        *(
            "TokenSet",
            "code_of",
            "tokens_of",
            "is_final",
            "is_attempt",
            "is_token",
            "refusal_code",
        ),
        *("unavailable", "failure_reason", "with_token"),
    },
    "client.auth": {"Options", "SessionAuth"},
    "accounts.credential_changes": {
        *("report_new_password", "report_changed_credential", "send_email"),
        "areport_changed_credential",
    },
    "decorators": {"fresh_session_required", "no_activity"},
    "exceptions": {
        *(
            "ConfigurationError",
            "IncompleteSignInError",
            "InactiveSessionError",
            "SessionsPlusError",
            "UnsettledError",
            "StaleSessionError",
        ),
        *("SignInRefusedError", "TokenError", "TokenExpiredError"),
    },
    "jwt.access": {
        *("Claims", "IssuedAccess", "issue", "verify", "is_ours"),
        *("is_before_authentication", "is_superseded"),
    },
    "jwt.keys": {"Ring", "jwks", "key_by_header", "ring", "signing_key", "verification_key"},
    "jwt.issuing": {"IssuedTokens", "issue_tokens", "aissue_tokens", "pair_of"},
    "jwt.refresh": {"refresh", "arefresh"},
    "leases": {"ListenerFigures", "figures", "subscribe"},
    "middleware": {
        *("AuthenticationMiddleware", "SessionMiddleware"),
        *("aget_user", "get_user", "bind_user", "set_request_user"),
    },
    "models": {"Session"},
    "bulk.purging": {"Purged", "purge", "apurge", "purge_handful", "count_purgeable", "purgeable"},
    "backends.running": {
        *("adopt", "current", "reset_current", "set_current", "store_of"),
        *("aresolve", "resolve"),
    },
    "accounts.second_factors": {
        *("SignInRefusal", "check_sign_in", "acheck_sign_in", "refuse_incomplete_sign_in"),
        *("SECOND_FACTOR_REQUIRED", "VERIFICATION_REQUIRED"),
    },
    "sessions": {
        *("astart", "start"),
        *("list_for", "revoke", "revoke_all", "revoke_others"),
        *("alist_for", "arevoke", "arevoke_all", "arevoke_others"),
        *("revoke_everyone", "revoke_many", "arevoke_everyone", "arevoke_many"),
        *("enforce_limit", "session_model"),
    },
    "signals": {
        *("new_device_signed_in", "refresh_token_reused", "session_context_changed"),
        *("credential_changed", "session_ended", "session_started", "send_after_commit"),
    },
    "tokens": {
        *("derive_token", "digest", "first_id", "foreign_digest", "is_well_formed"),
        *("made_at", "make_id", "make_token"),
    },
}


@pytest.mark.parametrize("name", SURFACE)
def test_a_module_defines_exactly_these_public_names(name):
    source = Path(django_sessions_plus.__file__).parent / f"{name.replace('.', '/')}.py"
    assert defined(source) == SURFACE[name]
    module = import_module(f"django_sessions_plus.{name}")
    assert all(hasattr(module, public) for public in SURFACE[name])


def defined(source: Path) -> set[str]:
    """Return the public classes, functions and signals that a file defines; not types and constants."""
    names = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_") and name != "View"}


def test_every_error_has_a_root_and_a_code_of_its_own():
    exceptions = import_module("django_sessions_plus.exceptions")
    errors = [getattr(exceptions, name) for name in SURFACE["exceptions"]]
    assert all(issubclass(error, exceptions.SessionsPlusError) for error in errors)
    codes = [error.code for error in errors]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and code.replace("_", "").isalpha() for code in codes)


def test_the_store_has_the_name_that_django_salts_signatures_with():
    store = import_module("django_sessions_plus.backends.db").SessionStore
    assert store.__qualname__ == "SessionStore"
    assert store().key_salt == "django.contrib.sessions.SessionStore"
