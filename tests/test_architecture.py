"""The plan of the house, held against its source: who may import whom, and how code is written.

Everything here reads the source as text and syntax trees; nothing of it is executed
but in one process of its own, to see what an import brings along.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = "django_sessions_plus"
ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / PACKAGE

RANKS = {
    0: ("bookkeeping", "conf", "events", "exceptions", "signals"),
    1: ("devices", "policy", "tokens"),
    2: ("base_session", "bulk", "migrations", "models", "querysets"),
    3: ("backends",),
    4: ("http", "jwt", "presentation"),
    5: ("leases", "sessions"),
    6: ("accounts", "decorators", "middleware"),
    7: (
        *(
            "admin",
            "api",
            "apps",
            "checks",
            "contrib",
            "management",
            "pages",
            "privacy",
            "switching",
        ),
        *("templatetags", "urls"),
    ),
}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
# The package itself is a docstring. The Python client is for programs without Django: it has no rank,
# and a test of its own.
WITHOUT_RANK = {"", "client"}

LONGEST_MODULE = 300
# Longer ones say in their docstring why.
LONG_MODULE = 250
LONGEST_FUNCTION = 40
DOCUMENTED = 0.95

# Imports that cannot stand at the top, by module and function.
LATE_IMPORTS = {("backends.db", "get_model_class"), ("apps", "ready")}
# Settings that Django itself wants in a class body: the model of a foreign key.
READ_WHILE_IMPORTING = {"base_session: settings.AUTH_USER_MODEL"}
# Words that have no place here, or only in Django's own names.
AVOIDED = {
    *("blacklist", "blacklisted", "whitelist", "kill", "kills", "killed", "hash", "hashed"),
    *("login", "logout", "logins"),
}
# Names that are not ours to choose: Django's, and Python's.
DJANGO_WORDS = {"auth_hash", "__hash__"}
NAMES_OF_OTHERS = re.compile(r"\bBlacklistedToken\b|\bBLACKLIST_AFTER_ROTATION\b")
AVOIDED_IN_PROSE = re.compile(r"\b(black-?list\w*|kill(s|ed|ing)?)\b", re.I)

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def module_name(path: Path) -> str:
    """Return the name below the package: "" for the package itself, "backends.db"."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PATHS = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
MODULES = sorted(PATHS)
WRITTEN = [name for name in MODULES if not name.startswith("migrations")]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(PATHS[name].read_text(encoding="utf-8"))


def rank(name: str) -> int:
    return RANK[name.partition(".")[0]]


@cache
def nodes(name: str) -> list[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Return every node of a module with those it stands in, outermost first."""
    found: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree(name), ())]
    for node, parents in found:
        found += [(child, (*parents, node)) for child in ast.iter_child_nodes(node)]
    return found


def is_for_types_only(parents: tuple[ast.AST, ...]) -> bool:
    return any(isinstance(p, ast.If) and ast.unparse(p.test) == "TYPE_CHECKING" for p in parents)


def imported(node: ast.AST) -> list[str]:
    """Return the full dotted names that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def own_module(dotted: str) -> str | None:
    """Return which module of the package a dotted name is or lives in."""
    if dotted.partition(".")[0] != PACKAGE:
        return None
    name = dotted.removeprefix(PACKAGE).removeprefix(".")
    while name not in PATHS:
        name = name.rpartition(".")[0]
    return name


def arrows(name: str, *, types: bool) -> set[str]:
    """Return the modules of the package that ``name`` imports."""
    found = {
        own_module(dotted)
        for node, parents in nodes(name)
        if types or not is_for_types_only(parents)
        for dotted in imported(node)
    }
    return {target for target in found if target is not None and target != name}


@pytest.mark.style
def test_there_is_something_to_look_at():
    assert {"conf", "backends.db", "sessions", "middleware"} <= set(MODULES)


@pytest.mark.style
def test_every_module_has_a_rank_and_every_rank_a_module():
    assert {name.partition(".")[0] for name in MODULES} == RANK.keys() | WITHOUT_RANK
    assert sum(map(len, RANKS.values())) == len(RANK)


@pytest.mark.style
def test_a_module_imports_nothing_of_a_higher_rank():
    upward = [
        f"{name} imports {target}"
        for name in MODULES
        if name.partition(".")[0] not in WITHOUT_RANK
        for target in arrows(name, types=True)
        if target.partition(".")[0] in WITHOUT_RANK or rank(target) > rank(name)
    ]
    assert not upward


@pytest.mark.style
def test_nobody_imports_from_the_bare_package():
    # It is a docstring; whoever imports from it means a module.
    assert not [name for name in MODULES if "" in arrows(name, types=True)]


@pytest.mark.style
def test_no_two_modules_import_each_other_however_long_the_way():
    graph = {name: arrows(name, types=True) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(f"import cycle: {' -> '.join(exc.args[1])}")


@pytest.mark.style
def test_an_engine_is_three_parts_of_which_two_know_no_store_and_no_request():
    for name in ("backends.changes", "backends.context", "backends.rows", "backends.caching.rows"):
        dotted = {part for node, _ in nodes(name) for part in imported(node)}
        assert not [
            each for each in dotted if each.startswith(("django.contrib.sessions", "django.http"))
        ]
        assert not arrows(name, types=True) & {"backends.base", "backends.session", "backends.db"}
    # The decisions do no I/O either.
    for name in ("backends.changes", "backends.context", "backends.merging"):
        assert not [
            each for each in arrows(name, types=True) if each.endswith((".rows", "querysets"))
        ]


def libraries(name: str) -> set[str]:
    return {part.partition(".")[0] for node, _ in nodes(name) for part in imported(node)}


@pytest.mark.style
@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("rest_framework", {"api", "contrib"}),
        ("jwt", {"jwt"}),
        ("user_agents", {"devices"}),
        ("httpx", {"client"}),
    ],
)
def test_a_library_is_imported_only_where_it_belongs(library, homes):
    users = {name for name in MODULES if library in libraries(name)}
    assert {name.partition(".")[0] for name in users} <= homes


@pytest.mark.style
def test_the_client_stands_alone():
    """It is for programs that have neither Django nor settings; nothing else needs httpx."""
    client = {name for name in MODULES if name.partition(".")[0] == "client"}
    assert client
    foreign = {library for name in client for library in libraries(name)} - sys.stdlib_module_names
    assert foreign == {"httpx", PACKAGE}
    for name in MODULES:
        if name in client:
            assert arrows(name, types=True) <= client
        else:
            assert not arrows(name, types=True) & client


def printed_by(code: str) -> str:
    """Run ``code`` in a process of its own and return what it prints."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_importing_the_client_brings_neither_django_nor_what_it_needs():
    probe = f"import sys, {PACKAGE}.client; print(*sorted({{n.partition('.')[0] for n in sys.modules}}))"
    found = printed_by(probe).split()
    assert {"httpx", PACKAGE} <= set(found)
    assert not {"django", "rest_framework", "jwt", "user_agents", "asgiref"} & set(found)


@pytest.mark.style
def test_randomness_and_digests_of_tokens_are_made_in_one_place():
    makers = {name for name in MODULES if libraries(name) & {"secrets", "hashlib", "hmac"}}
    assert {name.partition(".")[0] for name in makers} <= {"tokens", "jwt", "client"}
    # What can be guessed decides which requests purge, and nothing else.
    assert {name for name in MODULES if "random" in libraries(name)} == {"bulk.upkeep"}


@pytest.mark.style
def test_the_configured_engine_is_found_in_one_place():
    call = "import_module(settings.SESSION_ENGINE"
    assert {name for name in MODULES if call in PATHS[name].read_text()} == {"conf.engine"}


@pytest.mark.style
def test_changes_of_settings_are_heard_in_one_place():
    receivers = {name for name in MODULES if "setting_changed" in PATHS[name].read_text()}
    assert receivers == {"conf.changes"}


@pytest.mark.style
def test_checks_are_imported_only_where_they_are_registered():
    checks = {name for name in MODULES if name.partition(".")[0] == "checks"}
    importers = {name for name in MODULES if arrows(name, types=True) & checks}
    assert importers - checks == {"apps"}


@pytest.mark.style
def test_imports_are_absolute_and_at_the_top():
    wrong = []
    for name in MODULES:
        for node, parents in nodes(name):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            inside = [parent.name for parent in parents if isinstance(parent, FUNCTIONS)]
            is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
            if is_relative or (inside and (name, inside[-1]) not in LATE_IMPORTS):
                wrong.append(f"{name}:{node.lineno}")
    assert not wrong


@pytest.mark.style
def test_no_setting_is_read_while_a_module_is_imported():
    """Not at module level, not in a class body, not as a default argument, not in a decorator."""
    found = {
        f"{name}: {ast.unparse(node)}"
        for name in MODULES
        for node, parents in nodes(name)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"settings", "django_settings", "config", "api_settings"}
        and not is_run_later((*parents, node))
    }
    assert {text for text in found if not text.startswith("migrations")} == READ_WHILE_IMPORTING
    assert {text.partition(": ")[2] for text in found} == {"settings.AUTH_USER_MODEL"}


def is_run_later(path: tuple[ast.AST, ...]) -> bool:
    """Tell whether the last node stands in the body of a function, its defaults not included."""
    for parent, child in pairwise(path):
        if isinstance(parent, FUNCTIONS) and child in parent.body:
            return True
        if isinstance(parent, ast.Lambda) and child is parent.body:
            return True
    return False


@pytest.mark.style
def test_no_module_is_too_long_to_read():
    lengths = {name: len(PATHS[name].read_text().splitlines()) for name in MODULES}
    # Cut into several classes, Django's contract would have to be read in all of them at once.
    assert lengths.pop("backends.session") < 615
    # Whoever looks for a setting finds it here.
    assert lengths.pop("conf") < 350
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


@pytest.mark.style
def test_a_long_module_says_why():
    silent = [
        name
        for name in WRITTEN
        if len(PATHS[name].read_text().splitlines()) > LONG_MODULE
        and "Longer than other modules" not in (ast.get_docstring(tree(name)) or "")
    ]
    assert not silent


@pytest.mark.style
def test_no_function_is_too_long_to_read():
    lengths = {
        f"{name}.{node.name}": length(node)
        for name in WRITTEN
        for node, _ in nodes(name)
        if isinstance(node, FUNCTIONS)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def length(function: Function) -> int:
    """Return the lines of a function, decorators and docstring excluded."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def public_definitions(name: str) -> Iterator[tuple[str, ast.AST]]:
    """Give a module's public classes and functions, and the public methods of the classes."""
    if any(part.startswith("_") for part in name.split(".")):
        return
    yield name or PACKAGE, tree(name)
    pending: list[tuple[str, ast.AST]] = [(name, tree(name))]
    while pending:
        path, parent = pending.pop()
        for node in ast.iter_child_nodes(parent):
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                continue
            if node.name.startswith("_") or node.name == "Meta" or is_overload(node):
                continue
            found = f"{path}.{node.name}"
            yield found, node
            if isinstance(node, ast.ClassDef):
                pending.append((found, node))


def is_overload(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


@pytest.mark.style
def test_what_is_public_says_what_it_is():
    definitions = [pair for name in WRITTEN for pair in public_definitions(name)]
    bare = [path for path, node in definitions if not docstring_of(node)]
    share = 1 - len(bare) / len(definitions)
    assert share >= DOCUMENTED, f"{share:.1%} documented; without a docstring: {bare}"


def docstring_of(node: ast.AST) -> str | None:
    assert isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))
    if isinstance(node, ast.Module) and not node.body:
        # An empty __init__.py, as Django makes them.
        return "nothing to say"
    return ast.get_docstring(node)


@pytest.mark.style
def test_every_function_is_annotated():
    bare = []
    for name in WRITTEN:
        for node, parents in nodes(name):
            if isinstance(node, FUNCTIONS) and (gaps := unannotated(node, parents)):
                bare.append(f"{name}:{node.lineno} {node.name}: {gaps}")
    assert not bare


def unannotated(function: Function, parents: tuple[ast.AST, ...]) -> list[str]:
    scopes = [parent for parent in parents if isinstance(parent, (*FUNCTIONS, ast.ClassDef))]
    is_method = bool(scopes) and isinstance(scopes[-1], ast.ClassDef)
    is_static = any(ast.unparse(each) == "staticmethod" for each in function.decorator_list)
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    own = positional[1:] if is_method and not is_static else positional
    others = [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    gaps = [arg.arg for arg in (*own, *others) if arg is not None and arg.annotation is None]
    return gaps if function.returns is not None else [*gaps, "return"]


def words(identifier: str) -> set[str]:
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", identifier)
    return {part.lower() for part in parts}


def defined_names(name: str) -> Iterator[tuple[int, str]]:
    """Give every name the module defines: classes, functions, parameters, variables, attributes."""
    for node, _ in nodes(name):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


@pytest.mark.style
def test_names_keep_to_the_glossary():
    wrong = [
        f"{name}:{line} {identifier}"
        for name in WRITTEN
        for line, identifier in defined_names(name)
        if words(identifier) & AVOIDED and identifier not in DJANGO_WORDS
    ]
    assert not wrong


@pytest.mark.style
def test_prose_keeps_to_the_glossary():
    for name in WRITTEN:
        found = AVOIDED_IN_PROSE.search(NAMES_OF_OTHERS.sub("", PATHS[name].read_text()))
        assert found is None, (name, found)


@pytest.mark.style
def test_no_template_or_script_leaves_the_glossary():
    for path in SOURCE.rglob("*"):
        if path.suffix in {".html", ".txt", ".js"}:
            found = AVOIDED_IN_PROSE.search(path.read_text(encoding="utf-8"))
            assert found is None, (path.name, found)


@pytest.mark.style
def test_a_raw_token_and_its_digest_never_share_a_name():
    """What goes into tokens.digest() is a token, or Django's session_key; what comes out a digest."""
    calls = [
        (name, node, parents[-1])
        for name in WRITTEN
        for node, parents in nodes(name)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tokens.digest"
    ]
    assert calls
    for name, node, parent in calls:
        argument = ast.unparse(node.args[0])
        assert re.search(r"token|session_key", argument), (name, node.lineno)
        assert "digest" not in argument, (name, node.lineno)
        assert "digest" in destination(node, parent), (name, node.lineno)


def destination(value: ast.expr, parent: ast.AST) -> str:
    """Return the name that a value is given by its assignment, keyword, key or comparison."""
    if isinstance(parent, ast.Assign):
        return ast.unparse(parent.targets[0])
    if isinstance(parent, ast.keyword):
        return parent.arg or ""
    if isinstance(parent, ast.Dict):
        key = parent.keys[parent.values.index(value)]
        return "" if key is None else ast.unparse(key)
    return ast.unparse(parent)


@pytest.mark.style
def test_the_package_itself_is_a_docstring_and_nothing_else():
    (statement,) = tree("").body
    assert ast.get_docstring(tree(""))
    assert isinstance(statement, ast.Expr)


PROBE = f"""
import json, sys
from importlib import import_module

found = {{}}
import {PACKAGE}
found["bare"] = sorted(name for name in sys.modules if name.split(".")[0] in
    {{"django", "rest_framework", "jwt", "user_agents", "asgiref"}})

for name in {[name for rank in (0, 1) for name in RANKS[rank]]}:
    import_module("{PACKAGE}." + name)
from django.conf import settings
found["configured"] = settings.configured

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "tests.custom", "{PACKAGE}"],
    SESSION_ENGINE="{PACKAGE}.backends.db",
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
from django.apps import apps
engine = import_module(settings.SESSION_ENGINE)
store, named = engine.SessionStore(None), engine.SessionStore(session_key=None)
found["ready"] = apps.ready
found["models"] = "{PACKAGE}.models" in sys.modules
found["made"] = [type(made).__qualname__ for made in (store, named)]

import django
django.setup()
found["model"] = engine.SessionStore.get_model_class().__name__
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def probe():
    return json.loads(printed_by(PROBE))


def test_importing_the_package_imports_nothing(probe):
    assert probe["bare"] == []


def test_the_pure_modules_import_without_any_settings(probe):
    assert probe["configured"] is False


def test_the_engine_imports_and_its_store_is_made_before_any_app_is_ready(probe):
    assert probe["ready"] is False
    assert probe["models"] is False
    assert probe["made"] == ["SessionStore", "SessionStore"]


def test_an_app_whose_models_import_the_engine_can_be_installed_before_ours(probe):
    assert probe["model"] == "Session"
