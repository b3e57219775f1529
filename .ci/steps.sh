# The steps. Each says what it is for. The first ones are the longest, so that none is waited for alone; the last
# ones are those that a slow machine may leave out, because others have tried most of what they try.

add_steps() {
  local python django path oldest='' newest='' pair
  while read -r python django path; do
    pair="$python $django $path"
    [[ $django == 5.2 ]] && oldest=$pair
    [[ $django == 6.1 ]] && newest=$pair
  done <<<"$(pairs)"
  [[ -n $oldest && -n $newest ]] || add python-versions too_few_pythons
  # The pages and the browser client, in Chromium.
  grep --recursive --quiet --include='*.py' 'mark\.browser' tests && add browser browser
  # Their main stories in the two other engines.
  [[ -z $CI_ALL ]] || add firefox engine firefox
  [[ -z $CI_ALL ]] || add webkit engine webkit
  # What a contributor runs, and with it everything that repeats, on SQLite.
  add test-all test_all
  # Style, format and the rules of CONTRIBUTING.md.
  add lint tool lint
  add types tool types
  # What the documentation says is so.
  add docs tool docs
  # The suite on each server and on the engine with a cache.
  if [[ -n $oldest ]]; then
    add_on postgresql "$oldest"
    [[ -z $CI_ALL ]] || add_on mariadb "$oldest"
    [[ -z $CI_ALL ]] || add_on cached-db "$oldest"
  fi
  if [[ -n $newest ]]; then
    add_on mariadb "$newest"
    add_on cached-db "$newest"
    [[ -z $CI_ALL ]] || add_on postgresql "$newest"
  fi
  # The wheel and the README do what they say, in an empty environment.
  add packaging tool packaging
  # What teams use beside this package works beside it: a dozen packages as they are.
  add neighbours neighbours
  # Nobody is signed out by the switch from another engine, nor by the way back.
  add switching switching
  # The browser client without a browser.
  add js make --no-print-directory js
  # The npm package does what it says in projects of others, types included.
  add npm tool npm-test
  add_pair "$oldest"
  add_pair "$newest"
  if [[ -n $newest ]]; then
    # The catalogs beside those of the newest Django; test-all may have an older one.
    add translations translations "$newest"
    # What must never happen, many times, where rows are contended for.
    add races-postgresql races_on postgres_url ci_races "$newest"
    add races-mariadb races_on mariadb_url ci_races "$newest"
  fi
  # The same from memory, where the suites of others can be served from it.
  [[ -z $newest ]] || add django-suite-leased leasing django_suite "$newest"
  [[ -z $CI_ALL ]] || add allauth-suite-leased leasing make --no-print-directory allauth-suite
  if [[ -n $oldest ]]; then
    # Nothing that has ended is served from memory: the suite with an echo before each read, and under faults.
    add leased leased "$oldest"
    add torture-lease make --no-print-directory torture-lease
    add torture-lease-redis torture_by_redis
    # So does it behind the servers that fork, replace the sockets of Python, or start again.
    add servers make --no-print-directory servers
  fi
  # The API answers what its schema says, whatever it is sent.
  add schemathesis tool schemathesis
  # allauth's sign-ins, second factors and headless API work on our engine as on Django's.
  add allauth-suite make --no-print-directory allauth-suite
  # The suite with every other Python and Django. The newest have theirs on MariaDB and with a cache.
  while read -r python django path; do
    is_that_of_make_test "$python" "$django" && continue
    [[ $django != 6.1 || -n $CI_ALL ]] && add "python$python-django$django" suite "$python $django $path"
  done <<<"$(pairs)"
  if [[ -n $newest ]]; then
    # The two recipes of the documentation for PostgreSQL.
    add partitioned partitioned "$newest"
    add prepared prepared "$newest"
    # What Django's next release would break: reported, not judged.
    add django-main django_main "$newest"
  fi
}

# add_pair "PYTHON DJANGO PATH": what is run with the oldest and with the newest versions: the engine
# with a cache on Redis, and Django's own tests on our engine.
add_pair() {
  [[ -n $1 ]] || return 0
  local python=${1%% *}
  add "redis-python$python" on_redis "$1"
  add "django-suite-python$python" django_suite "$1"
}

# add_on WHAT "PYTHON DJANGO PATH": the suite on a server, or on the engine with a cache. Each runs
# with either the oldest or the newest versions, and with CI_ALL with both: the whole suite takes
# minutes, and PostgreSQL has the races, the partitions and prepared statements besides.
add_on() {
  local python=${2%% *}
  case $1 in
    postgresql) add "$1-python$python" suite_on postgres_url "ci_postgres_${python/./_}" "$2" ;;
    mariadb) add "$1-python$python" suite_on mariadb_url "ci_mariadb_${python/./_}" "$2" ;;
    cached-db) add "$1-python$python" cached_db "$2" ;;
  esac
}

# tool TARGET: a make target, in the environment these share.
tool() {
  local directory
  directory=$(tools)
  make --no-print-directory "$1" VENV="$directory"
}

# is_that_of_make_test PYTHON DJANGO: tell whether "make test-all" runs just these two. It takes the
# newest Django there is for its Python.
is_that_of_make_test() {
  local version
  version=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [[ $1 == "$version" && ($1 == 3.11 || $2 == 6.1) ]]
}

# browser: the tests in a browser, with those that wait for a network that is slow, lossy or away.
# On a busy machine one may be late: what fails twice has failed. Which did is kept apart from what
# the step beside this one keeps.
browser() {
  local apart="--thorough -o cache_dir=$WORK/browser-cache"
  PYTEST_ARGS="$apart" tool browser || PYTEST_ARGS="$apart --last-failed" tool browser
}

# engine TARGET: the stories in another browser, which must be there.
engine() {
  CI=true tool "$1"
}

# test_all: with gettext, which must be there.
test_all() {
  CI=true make --no-print-directory test-all
}

# suite PYTHON DJANGO PATH [OPTION]: the suite on SQLite.
suite() {
  local python
  python=$(environment "${@:1:3}")
  "$python" -c 'import django, sys; print("Python", sys.version.split()[0], "Django", django.__version__)'
  "$python" -m pytest -n 2 "${@:4}"
}

# suite_on URL_FUNCTION DATABASE PYTHON DJANGO PATH: the suite on a server, with what repeats: its
# plans of statements, locks and races are its own.
suite_on() {
  local url
  url=$("$1")
  export DATABASE_URL="$url/$2"
  CI=true suite "${@:3}" --thorough
}

# races_on URL_FUNCTION DATABASE PYTHON DJANGO PATH: what must never happen gets 250 chances, with
# CI_ALL a thousand, where rows are really contended for.
races_on() {
  local python url rounds=250
  [[ -z $CI_ALL ]] || rounds=1000
  url=$("$1")
  python=$(environment "${@:3}")
  SESSIONS_TEST_ROUNDS=$rounds DATABASE_URL="$url/$2" "$python" -m pytest -n 2 \
    tests/backends/test_races.py tests/backends/test_purge_races.py tests/jwt/test_refresh_races.py
}

# cached_db PYTHON DJANGO PATH: the same suite on the engine with a cache.
cached_db() {
  local python
  python=$(environment "$@")
  SESSIONS_TEST_ENGINE=cached_db "$python" -m pytest -n 2
}

# leased PYTHON DJANGO PATH: the engine that serves who is signed in from memory. Its own tests are in the suite
# on PostgreSQL.
leased() {
  local python url
  python=$(environment "$@")
  url=$(postgres_url)
  SESSIONS_TEST_ENGINE=leased_db DATABASE_URL="$url/ci_leased" "$python" -m pytest -n 2 \
    tests/backends tests/flows tests/jwt tests/api tests/accounts tests/pages
}

# torture_by_redis: the same where Redis is the channel.
torture_by_redis() {
  TORTURE_ARGS='--channel redis' make --no-print-directory torture-lease
}

# on_redis PYTHON DJANGO PATH: that engine on Redis; with the oldest Django, by the oldest redis-py as well.
on_redis() {
  local python url oldest
  python=$(environment "$@")
  url=$(postgres_url)
  local run=(env CI=true "REDIS_URL=$(redis_url)" "DATABASE_URL=$url/ci_redis_${1/./_}")
  "${run[@]}" "$python" -m pytest -m redis || return
  # Leases by Redis are for the other databases.
  CI=true REDIS_URL=$(redis_url) "$python" -m pytest -m redis tests/redis/test_lease_channel.py || return
  "${run[@]}" "DATABASE_URL=$(mariadb_url)/ci_redis_${1/./_}" "$python" -m pytest -m redis \
    tests/redis/test_lease_channel.py || return
  [[ $2 == 5.2 ]] || return 0
  # Beside the environment, which other steps use at the same time.
  oldest="$WORK/redis-py-5.1"
  "$python" -m pip install -qq --no-deps --upgrade --target "$oldest" 'redis==5.1.0' || return
  "${run[@]}" "PYTHONPATH=$oldest" "$python" -m pytest -m redis \
    tests/redis/test_redis_client.py tests/redis/test_lease_channel.py
}

# partitioned PYTHON DJANGO PATH: the engine on a table in parts, by the recipe of docs/scale.md.
partitioned() {
  local python url
  python=$(environment "$@")
  url=$(postgres_url)
  SESSIONS_TEST_ENGINE=partitioned DATABASE_URL="$url/ci_partitioned" "$python" -m pytest -n 2 \
    tests/backends tests/flows tests/partitioned tests/test_querysets.py tests/test_sessions.py
}

# translations PYTHON DJANGO PATH: the catalogs beside what gettext finds, which must be there.
translations() {
  local python
  python=$(environment "$@")
  CI=true "$python" -m pytest -n 2 --thorough tests/translations
}

# prepared PYTHON DJANGO PATH: the engine with statements that the server keeps, by docs/operations.md.
prepared() {
  local python url
  python=$(environment "$@")
  url=$(postgres_url)
  SESSIONS_TEST_PREPARED=1 DATABASE_URL="$url/ci_prepared" "$python" -m pytest -n 2 \
    tests/backends tests/flows tests/jwt
}

# django_main PYTHON DJANGO PATH: the suite on SQLite with Django's main branch, as an early warning. It
# passes whatever comes out, and the totals do not count its tests.
django_main() {
  local directory="$WORK/environments/$1-django-main"
  if ! install_django_main "$3" "$directory"; then
    echo "Reported, not judged: the main branch of Django cannot be had here, so nothing was tried."
    return 0
  fi
  "$directory/bin/python" -c 'import django; print("Django", django.__version__)'
  # What main deprecates is no error yet.
  "$directory/bin/python" -m pytest -n 2 -W default >"$directory/report" 2>&1 || true
  grep -E '^(FAILED|ERROR) ' "$directory/report" || true
  echo "Reported, not judged: $(tail -n 1 "$directory/report")"
}

# install_django_main PYTHON DIRECTORY: make an environment with Django's main branch; fail if it cannot be had.
install_django_main() {
  local pip=("$2/bin/python" -m pip install -qq)
  "$1" -m venv "$2" &&
    "${pip[@]}" --upgrade 'pip>=25.1' &&
    "${pip[@]}" --editable '.[postgres,redis]' --group test &&
    "${pip[@]}" --no-deps --timeout 30 --retries 1 https://github.com/django/django/archive/main.tar.gz
}

# neighbours: on PostgreSQL, which django-tenants needs.
neighbours() {
  local url
  url=$(postgres_url)
  CI=true DATABASE_URL="$url/ci_neighbours" make --no-print-directory neighbours
}

# switching: 300 sessions of every engine on PostgreSQL and Redis, and of Django's own table on the other two.
switching() {
  local postgres mariadb
  postgres=$(postgres_url)
  mariadb=$(mariadb_url)
  export CI=true
  REDIS_URL=$(redis_url) DATABASE_URL="$postgres/ci_switching" make --no-print-directory switching &&
    DATABASE_URL="$mariadb/ci_switching" make --no-print-directory switching ENGINES=django-db SESSIONS=100 &&
    make --no-print-directory switching ENGINES=django-db SESSIONS=100
}

# django_suite PYTHON DJANGO PATH: Django's own tests.
django_suite() {
  local python
  python=$(environment "$@")
  "$python" tests/django_suite/run.py
}

# leasing COMMAND...: a suite of others on the engine that serves who is signed in from memory.
leasing() {
  SUITE_ENGINE=leased_db "$@"
}

too_few_pythons() {
  echo "Python 3.11 and a newer one are needed, on PATH or under pyenv. Found:"
  pythons
  return 1
}
