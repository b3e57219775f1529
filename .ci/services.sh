# What must be on the machine: compilers' headers, gettext, three browsers, Node, two database
# servers, PgBouncer, Redis.

CI_PASSWORD=sessions-plus-ci

# prepare_machine: install and start what is missing. What cannot be had makes the step that
# needs it fail.
prepare_machine() {
  local missing=()
  pkg-config --exists libmariadb 2>/dev/null || pkg-config --exists mysqlclient 2>/dev/null ||
    missing+=(default-libmysqlclient-dev pkg-config gcc)
  command -v xgettext >/dev/null || missing+=(gettext)
  command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium)
  if [[ -n $CI_ALL ]]; then
    command -v firefox-esr firefox >/dev/null || missing+=(firefox-esr)
    command -v WebKitWebDriver >/dev/null || missing+=(webkit2gtk-driver)
    command -v Xvfb >/dev/null || missing+=(xvfb)
  fi
  command -v npm >/dev/null || missing+=(nodejs npm)
  [[ -n ${CI_POSTGRES_URL:-} ]] || answers 5432 || has_service postgresql || missing+=(postgresql)
  [[ -n ${CI_MARIADB_URL:-} ]] || answers 3306 || has_service mariadb || missing+=(mariadb-server)
  # A test starts one of its own.
  command -v pgbouncer >/dev/null || [[ -x /usr/sbin/pgbouncer ]] || missing+=(pgbouncer)
  # Its tests start servers of their own as well.
  command -v redis-server >/dev/null || missing+=(redis-server)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
  [[ -n ${CI_POSTGRES_URL:-} ]] || start postgresql 5432
  [[ -n ${CI_MARIADB_URL:-} ]] || start mariadb 3306
  [[ -n ${CI_REDIS_URL:-} ]] || start redis-server 6379
}

# answers PORT: tell whether something listens there.
answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

has_service() {
  [[ -x /etc/init.d/$1 ]]
}

install_packages() {
  local log="$LOGS/apt.log"
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "Missing, and only root can install it: $*"
    return
  fi
  echo "Installing $*"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"; } >"$log" 2>&1 ||
    tail -n 20 "$log"
}

# start SERVICE PORT: start a server that does not run yet, and wait for it.
start() {
  local attempt
  answers "$2" && return
  [[ $EUID == 0 ]] && has_service "$1" && service "$1" start >/dev/null 2>&1
  for attempt in {1..30}; do
    answers "$2" && return
    sleep 1
  done
  echo "Nothing answers at 127.0.0.1:$2, where $1 should be."
}

# redis_url: print where Redis is.
redis_url() {
  echo "${CI_REDIS_URL:-redis://127.0.0.1:6379/15}"
}

# postgres_url: print where the server is and who may create databases there.
postgres_url() {
  local super="postgres://postgres@127.0.0.1:5432"
  if [[ -n ${CI_POSTGRES_URL:-} ]]; then
    echo "$CI_POSTGRES_URL"
  elif [[ $EUID != 0 ]] || ! command -v psql >/dev/null ||
    psql --no-password --quiet --command 'SELECT 1' "$super/postgres" >/dev/null 2>&1; then
    echo "$super"
  else
    runuser -u postgres -- psql --quiet >&2 <<SQL
DO \$\$ BEGIN
  CREATE ROLE sessions_plus_ci;
EXCEPTION WHEN duplicate_object THEN NULL;
END \$\$;
ALTER ROLE sessions_plus_ci LOGIN CREATEDB PASSWORD '$CI_PASSWORD';
SQL
    echo "postgres://sessions_plus_ci:$CI_PASSWORD@127.0.0.1:5432"
  fi
}

# mariadb_url: print where the server is and who may create databases there.
mariadb_url() {
  if [[ -n ${CI_MARIADB_URL:-} ]]; then
    echo "$CI_MARIADB_URL"
  elif [[ $EUID != 0 ]] || ! command -v mariadb >/dev/null ||
    mariadb --host 127.0.0.1 --user root --execute 'SELECT 1' >/dev/null 2>&1; then
    echo "mysql://root@127.0.0.1:3306"
  else
    mariadb >&2 <<SQL
CREATE OR REPLACE USER sessions_plus_ci@'127.0.0.1' IDENTIFIED BY '$CI_PASSWORD';
CREATE OR REPLACE USER sessions_plus_ci@localhost IDENTIFIED BY '$CI_PASSWORD';
GRANT ALL ON *.* TO sessions_plus_ci@'127.0.0.1';
GRANT ALL ON *.* TO sessions_plus_ci@localhost;
SQL
    echo "mysql://sessions_plus_ci:$CI_PASSWORD@127.0.0.1:3306"
  fi
}
