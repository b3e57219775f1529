"""The parts of the benchmarks that only compute: nothing here is timed."""

import pytest

from benchmarks import credentials, figures, keys, loads, profiles, report, scale
from benchmarks.bars import BARS, Bar
from benchmarks.config import (
    FLAVOURS,
    MARIADB,
    POSTGRESQL,
    PREPARED,
    SQLITE,
    Sizes,
    database_settings,
    is_local,
    services,
)
from benchmarks.contenders import BASELINES, CONTENDERS, Contender, contender, taking_part
from benchmarks.databases import fingerprint
from benchmarks.plots import bar_data
from benchmarks.results import Results, basis_of, seconds
from benchmarks.scenarios import API, COOKIE, FAMILIES, SCENARIOS
from benchmarks.settings import site_settings
from benchmarks.tables import bars_table, first_table, number, other_table
from django_sessions_plus import tokens


def samples(*wall: float, **more: object) -> dict[str, object]:
    halves = [value / 2 for value in wall]
    return {
        "wall": list(wall),
        "cpu": halves,
        "server": halves,
        "statements": 1,
        "round_trips": 0,
    } | more


def entry(label: str, **scenarios: object) -> dict[str, object]:
    return {"label": label, "status": "ran", "reason": "", "scenarios": scenarios}


@pytest.fixture
def results() -> Results:
    contenders = {
        "stock_db": entry("stock db", read=samples(100, 200, 400), write=samples(100, 100, 100)),
        "plus_db": entry("**ours**", read=samples(50, 60, 100), write=samples(40, 50, 60)),
        "old_peer": {
            "label": "old peer",
            "status": "cannot run",
            "reason": "no | such",
            "scenarios": {},
        },
        "half_peer": entry("half peer", read={"error": "WrongAnswerError: status 500"}),
    }
    suite = {"baseline": "stock_db", "rounds": 3, "requests": 5, "contenders": contenders}
    return Results({"suites": {"postgresql cookie": suite}})


def test_time_is_told_apart_by_what_the_code_is_there_for() -> None:
    digest = tokens.digest("a" * 32)
    found = profiles.profile(lambda: [tokens.digest("a" * 32) == digest for _ in range(10)], 10)
    assert found["session store"][0] >= 2
    assert sum(calls for calls, _ in found.values()) < 10
    assert set(found) <= set(profiles.AREAS)


def test_the_page_shows_where_the_time_goes(results: Results) -> None:
    assert "Where the time" not in report.render(results, [])
    suite = results.suite(POSTGRESQL, COOKIE)
    assert suite is not None
    suite["contenders"]["plus_db"]["scenarios"]["read"]["profile"] = {
        "session store": [12.0, 40.0],
        "driver and database": [3.0, 60.5],
    }
    page = report.render(results, [])
    assert "|  | **ours**, read user |" in page
    assert "| session store | 40 µs (12) |" in page
    assert "| all | 100 µs (15) |" in page


def test_a_ratio_is_taken_inside_each_round() -> None:
    assert figures.ratios([50, 60, 100], [100, 200, 400]) == [0.5, 0.3, 0.25]


def test_a_ratio_leaves_out_rounds_that_only_one_has() -> None:
    assert figures.ratios([50], [100, 200]) == [0.5]
    assert figures.ratios([50, 60], [100, 0]) == [0.5]


def test_quartiles_lie_around_the_median() -> None:
    assert figures.spread([5, 1, 4, 2, 3]) == (2, 3, 4)
    assert figures.spread([7]) == (7, 7, 7)
    with pytest.raises(ValueError, match="no values"):
        figures.spread([])


def test_a_percentile_is_one_of_the_values() -> None:
    assert figures.percentile(list(range(1, 101)), 0.99) == 99
    assert figures.percentile([3, 1], 0.99) == 3


def test_the_headline_is_cpu_time_on_sqlite_and_the_wall_clock_on_servers() -> None:
    assert {flavour: basis_of(flavour) for flavour in FLAVOURS} == {
        SQLITE: "cpu",
        POSTGRESQL: "wall",
        PREPARED: "wall",
        MARIADB: "wall",
    }


def test_busy_time_needs_the_servers_to_be_known() -> None:
    assert list(seconds(samples(100), "busy")) == [100]
    assert list(seconds(samples(100, server=[None]), "busy")) == []


def test_results_are_the_same_after_they_were_kept(results: Results, tmp_path) -> None:
    file = tmp_path / "kept" / "latest.json"
    results.write(file)
    assert Results.read(file).data == results.data
    assert Results.read(tmp_path / "none.json").data == {}


def test_a_contender_that_failed_has_no_ratio(results: Results) -> None:
    assert results.ratio(POSTGRESQL, COOKIE, "half_peer", "read") is None
    assert results.ratio(POSTGRESQL, COOKIE, "plus_db", "read") == pytest.approx((0.275, 0.3, 0.4))


def test_a_contender_that_cannot_run_is_shown_with_its_reason(results: Results) -> None:
    first = first_table(results, POSTGRESQL, COOKIE)
    assert "| old peer | cannot run: no / such |" in first
    assert "| half peer | cannot run: WrongAnswerError: status 500 |" in first
    assert "| old peer | cannot run: no / such |" in other_table(results, POSTGRESQL, COOKIE)


def test_every_row_of_a_table_has_a_cell_for_each_column(results: Results) -> None:
    for text in (
        first_table(results, POSTGRESQL, COOKIE),
        other_table(results, POSTGRESQL, COOKIE),
        bars_table(results),
    ):
        assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_bar_says_whether_it_is_met(results: Results) -> None:
    rows = bars_table(results).splitlines()
    assert "| read user, PostgreSQL | 0.50 | 0.42 | 0.30 | moonshot |" in rows
    assert "| write one key, PostgreSQL | 0.62 | 0.45 | 0.50 | yes |" in rows
    assert "| read user, SQLite | 0.36 | 0.27 | not measured | - |" in rows


def test_a_bar_is_judged_as_it_is_printed() -> None:
    at_most = Bar("", 0.36, None, lambda results: None)
    assert at_most.is_met_by(0.3649, 0.36)
    assert not at_most.is_met_by(0.366, 0.36)
    at_least = Bar("", 4, 8, lambda results: None, at_least=True)
    assert at_least.is_met_by(4.2, 4)
    assert not at_least.is_met_by(3.9, 4)


def test_no_bar_is_read_from_empty_results() -> None:
    assert [bar.label for bar in BARS if bar.measured(Results()) is not None] == []


def test_the_report_says_what_its_ratios_are_of(results: Results) -> None:
    page = report.render(results, ["performance-postgresql-cookie.svg"])
    assert "**the whole handler with a trivial view**" in page
    assert "(images/performance-postgresql-cookie.svg)" in page
    assert "performance-sqlite-cookie.svg" not in page


def test_the_report_shows_contention_and_scale() -> None:
    run = {"per_second": 10.5, "updates": 1, "refused": 0, "acknowledged": 0, "lost": 0}
    times = {"count": 9, "median_ms": 1.5, "p99_ms": 2.5}
    who = {"read": times, "write": {"error": "WorkerError"}}
    step = {
        "rows": 10_000,
        "lookup": times,
        "user_list": times,
        "admin_page": {"error": "no admin"},
    }
    data = {
        "contention": {
            "workers": 32,
            "processes": 8,
            "seconds": 2.0,
            "readers": {"plus_once": run},
            "writers": {"stock_db": {"error": "too slow"}},
            "mixed": {},
        },
        "scale": {
            POSTGRESQL: {
                "rows": 10_000,
                "users": 20_000,
                "steps": [step],
                "plans": {"lookup": ["Index Scan"]},
                "purge": {
                    "deleted": 5,
                    "seconds": 1.0,
                    "statements": 2,
                    "longest_ms": 3.0,
                    "idle": who,
                    "together": who,
                    "during": who,
                },
            }
        },
    }
    page = report.render(Results(data), [])
    assert "| django-sessions-plus, due at the start | 10.5 | 1 | 0 | 0 | 0 |" in page
    assert "| stock db | cannot run: too slow |" in page
    assert "| 10,000 | 1.50 (2.50) | 1.50 (2.50) | cannot run: no admin |" in page
    assert "Index Scan" in page


def test_plots_show_the_fastest_first(results: Results) -> None:
    data = bar_data(results, POSTGRESQL, COOKIE, "read")
    assert [(one[0], one[1]) for one in data] == [("ours", True), ("stock db", False)]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234"), (12.34, "12.3"), (0.5, "0.50"), (4.0, "4")]
)
def test_figures_are_as_long_as_people_read_them(value: float, text: str) -> None:
    assert number(value) == text


def test_contenders_name_only_what_exists() -> None:
    scenarios = {one.name for family in SCENARIOS.values() for one in family}
    names = [one.name for one in CONTENDERS]
    assert len(names) == len(set(names))
    for one in CONTENDERS:
        assert one.load in loads.LOADS
        assert one.credentials in credentials.KINDS
        assert set(one.only or ()) <= scenarios


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_baseline_and_this_project(flavour: str, family: str) -> None:
    names = {one.name for one in taking_part(family, flavour)}
    assert BASELINES[family] in names
    assert ("api_plus_bearer" if family == API else "plus_db") in names


def test_what_does_not_exist_is_not_available() -> None:
    peer = Contender("x", "x", "django", (COOKIE,), requires=("no_such_package.backends",))
    assert peer.unavailable() == "no_such_package.backends does not exist"
    switch = Contender("x", "x", "plus", (COOKIE,), requires_setting="SESSIONS_PLUS_NO_SUCH")
    assert switch.unavailable() == "there is no setting SESSIONS_PLUS_NO_SUCH"
    assert contender("plus_db").unavailable() is None


def test_a_site_has_django_s_usual_middleware_in_its_order() -> None:
    configured = site_settings(contender("stock_db"), services({}), flavour=SQLITE, database="x")
    names = [path.rpartition(".")[2] for path in configured["MIDDLEWARE"]]
    assert names == [
        "SecurityMiddleware",
        "SessionMiddleware",
        "CommonMiddleware",
        "CsrfViewMiddleware",
        "AuthenticationMiddleware",
        "MessageMiddleware",
    ]


def test_prepared_statements_and_pools_are_set_up_as_documented() -> None:
    known = services({"BENCH_POSTGRES_URL": "postgres://me:p%40ss@db.example:5433/postgres"})
    entry = database_settings(PREPARED, known, "x", pooled=True)
    assert (entry["HOST"], entry["PORT"], entry["PASSWORD"]) == ("db.example", "5433", "p@ss")
    assert entry["OPTIONS"]["server_side_binding"] is True
    assert entry["OPTIONS"]["prepare_threshold"] == 1
    assert entry["CONN_MAX_AGE"] == 0
    assert not is_local(known.postgres)


def test_requests_carry_tokens_of_the_right_form() -> None:
    assert tokens.is_well_formed(keys.session_token(1))
    assert tokens.is_well_formed(keys.unknown_token(1))
    assert keys.unknown_token(1) != keys.session_token(1)
    assert not tokens.is_well_formed(keys.junk(1))


def test_everybody_is_asked_for_the_same_sessions() -> None:
    numbers = keys.pool(100_000, 500)
    assert len(set(numbers)) == 500
    assert numbers[-1] > 99_000
    assert keys.visits(numbers, 40, seed=3) == keys.visits(numbers, 40, seed=3)
    assert keys.visits(numbers, 40, seed=3) != keys.visits(numbers, 40, seed=4)


def test_a_stored_database_is_used_again_only_for_the_same_rows() -> None:
    sizes = Sizes(1_000, 200, 20)
    assert fingerprint("plus", sizes) == fingerprint("plus", Sizes(1_000, 200, 10))
    assert fingerprint("plus", sizes) != fingerprint("plus", Sizes(2_000, 200, 20))
    assert fingerprint("plus", sizes) != fingerprint("django", sizes)


def test_the_scale_run_grows_tenfold() -> None:
    assert scale.steps(10_000_000) == [10_000, 100_000, 1_000_000, 10_000_000]
    assert scale.steps(50_000) == [10_000, 50_000]
