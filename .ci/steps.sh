# The steps, the longest first so that none is waited for alone.

add_steps() {
  local python django path oldest='' newest='' pair
  grep --recursive --quiet --include='*.py' 'mark\.browser' tests && add browser tool browser
  add make-test make --no-print-directory test
  while read -r python django path; do
    pair="$python $django $path"
    add "python$python-django$django" suite "$pair"
    [[ $django == 5.2 ]] && oldest=$pair
    [[ $django == 6.1 ]] && newest=$pair
  done <<<"$(pairs)"
  [[ -n $oldest && -n $newest ]] || add python-versions too_few_pythons
  add_pair "$oldest"
  add_pair "$newest"
  add packaging tool packaging
  add types tool types
  add docs tool docs
  add lint tool lint
}

# add_pair "PYTHON DJANGO PATH": what is run with the oldest and with the newest versions.
add_pair() {
  [[ -n $1 ]] || return 0
  local python=${1%% *}
  add "postgresql-python$python" suite_on postgres_url "ci_postgres_${python/./_}" "$1"
  add "mariadb-python$python" suite_on mariadb_url "ci_mariadb_${python/./_}" "$1"
  add "django-suite-python$python" django_suite "$1"
  add "cached-db-python$python" cached_db "$1"
}

# tool TARGET: a make target, in the environment these share.
tool() {
  local directory
  directory=$(tools)
  make --no-print-directory "$1" VENV="$directory"
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

# cached_db PYTHON DJANGO PATH: the same suite on the engine with a cache, and that engine on Redis.
cached_db() {
  local python url
  python=$(environment "$@")
  SESSIONS_TEST_ENGINE=cached_db "$python" -m pytest -n 2
  url=$(postgres_url)
  CI=true REDIS_URL=$(redis_url) DATABASE_URL="$url/ci_redis_${1/./_}" "$python" -m pytest -m redis
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
