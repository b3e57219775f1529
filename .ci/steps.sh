# The steps, the longest first so that none is waited for alone.

add_steps() {
  local python django path oldest='' newest='' pair
  grep --recursive --quiet --include='*.py' 'mark\.browser' tests && add browser browser
  add schemathesis tool schemathesis
  add make-test make --no-print-directory test
  while read -r python django path; do
    pair="$python $django $path"
    is_that_of_make_test "$python" "$django" || add "python$python-django$django" suite "$pair"
    [[ $django == 5.2 ]] && oldest=$pair
    [[ $django == 6.1 ]] && newest=$pair
  done <<<"$(pairs)"
  [[ -n $oldest && -n $newest ]] || add python-versions too_few_pythons
  if [[ -n $oldest ]]; then
    add_on postgresql "$oldest"
    [[ -z $CI_ALL ]] || add_on mariadb "$oldest"
    [[ -z $CI_ALL ]] || add_on cached-db "$oldest"
  fi
  if [[ -n $newest ]]; then
    add_on mariadb "$newest"
    add_on cached-db "$newest"
    [[ -z $CI_ALL ]] || add_on postgresql "$newest"
    add races-postgresql races_on postgres_url ci_races "$newest"
    add races-mariadb races_on mariadb_url ci_races "$newest"
    add partitioned partitioned "$newest"
    add prepared prepared "$newest"
    add translations translations "$newest"
  fi
  add_pair "$oldest"
  add_pair "$newest"
  add packaging tool packaging
  add types tool types
  add js make --no-print-directory js
  add docs tool docs
  add lint tool lint
}

# add_pair "PYTHON DJANGO PATH": what is run with the oldest and with the newest versions.
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

# is_that_of_make_test PYTHON DJANGO: tell whether "make test" runs just these two. It takes the
# newest Django there is for its Python.
is_that_of_make_test() {
  local version
  version=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [[ $1 == "$version" && ($1 == 3.11 || $2 == 6.1) ]]
}

# browser: the tests in a browser. On a busy machine one may be late: what fails twice has failed.
# Which did is kept apart from what the step beside this one keeps.
browser() {
  local apart="-o cache_dir=$WORK/browser-cache"
  PYTEST_ARGS="$apart" tool browser || PYTEST_ARGS="$apart --last-failed" tool browser
}

# suite PYTHON DJANGO PATH: the suite on SQLite.
suite() {
  local python
  python=$(environment "$@")
  "$python" -c 'import django, sys; print("Python", sys.version.split()[0], "Django", django.__version__)'
  "$python" -m pytest -n 2
}

# suite_on URL_FUNCTION DATABASE PYTHON DJANGO PATH: the suite on a server.
suite_on() {
  local url
  url=$("$1")
  export DATABASE_URL="$url/$2"
  suite "${@:3}"
}

# races_on URL_FUNCTION DATABASE PYTHON DJANGO PATH: what must never happen gets a thousand chances
# where rows are really contended for.
races_on() {
  local python url
  url=$("$1")
  python=$(environment "${@:3}")
  SESSIONS_TEST_ROUNDS=1000 DATABASE_URL="$url/$2" "$python" -m pytest -n 2 \
    tests/backends/test_races.py tests/backends/test_purge_races.py tests/jwt/test_refresh_races.py
}

# cached_db PYTHON DJANGO PATH: the same suite on the engine with a cache.
cached_db() {
  local python
  python=$(environment "$@")
  SESSIONS_TEST_ENGINE=cached_db "$python" -m pytest -n 2
}

# on_redis PYTHON DJANGO PATH: that engine on Redis.
on_redis() {
  local python url
  python=$(environment "$@")
  url=$(postgres_url)
  CI=true REDIS_URL=$(redis_url) DATABASE_URL="$url/ci_redis_${1/./_}" "$python" -m pytest -m redis
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
  CI=true "$python" -m pytest -n 2 tests/translations
}

# prepared PYTHON DJANGO PATH: the engine with statements that the server keeps, by docs/operations.md.
prepared() {
  local python url
  python=$(environment "$@")
  url=$(postgres_url)
  SESSIONS_TEST_PREPARED=1 DATABASE_URL="$url/ci_prepared" "$python" -m pytest -n 2 \
    tests/backends tests/flows tests/jwt
}

# django_suite PYTHON DJANGO PATH: Django's own tests.
django_suite() {
  local python
  python=$(environment "$@")
  "$python" tests/django_suite/run.py
}

too_few_pythons() {
  echo "Python 3.11 and a newer one are needed, on PATH or under pyenv. Found:"
  pythons
  return 1
}
