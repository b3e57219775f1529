# Python 3.11 or newer and make are all this needs. Each command prepares what it needs in
# .venv, once, and again when pyproject.toml has changed.
#
#   PYTHON=python3.13      the Python that .venv is built with, when there is none yet
#   PORT=8001              where "make demo" serves
#   DATABASE_URL=...       postgres://user:password@host:5432/name or mysql://...; without it SQLite
#   REDIS_URL=...          redis://host:6379/0, for the cache; without it the process's memory
#   WORKERS=0              how many processes "make test" runs; 0 shows output as it comes
#   PYTEST_ARGS="-k sign"  more arguments for pytest
#   BENCH_ROWS=1000000     how many rows "make bench" lets a table grow to; ten million without it
#   SESSIONS=10000         how many living sessions each site of "make switching" has; 300 without it
#   ENGINES="django-db"    the engines that "make switching" tries; all without it
#   SERVERS="uwsgi daphne" which servers "make servers" tries; the quick ones without it
#   TORTURE_ARGS="--revocations 100000"   more arguments for "make torture-lease"; about two minutes without them

VENV ?= .venv
PORT ?= 8000
WORKERS ?= 2
PYTEST_ARGS ?=
BENCH_ROWS ?= 10000000
SESSIONS ?= 300
ENGINES ?=
TORTURE_ARGS ?=
SERVERS ?=
export PORT

# The drivers of the servers that are asked for, and no others.
EXTRAS := $(strip \
	$(if $(filter postgres% pgsql%,$(DATABASE_URL)),postgres) \
	$(if $(filter mysql%,$(DATABASE_URL)),mysql) \
	$(if $(REDIS_URL),redis))
comma := ,
empty :=
space := $(empty) $(empty)
PACKAGE := .$(if $(EXTRAS),[$(subst $(space),$(comma),$(EXTRAS))])

PY := $(VENV)/bin/python
READY := $(VENV)/.ready$(if $(EXTRAS),-$(subst $(space),-,$(EXTRAS)))
PYTEST = $(PY) -m pytest $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-switch demo-react port react js npm npm-test codes test test-all lint format types translations docs cov browser firefox webkit schemathesis wheel packaging django-suite allauth-suite run-allauth-suite neighbours run-neighbours switching run-switching torture-lease run-torture-lease servers run-servers bench bench-quick clean

help:
	@echo "make demo          run the example site on http://127.0.0.1:$(PORT)/"
	@echo "make demo-switch   run it on Django's own sessions, and make the switch while you are signed in"
	@echo "make demo-react    the same with its React page; needs Node"
	@echo "make test          run the test suite"
	@echo "make test-all      the same with what takes longer and repeats: every language, more rounds"
	@echo "make lint          check style and format; make format repairs them"
	@echo "make types         check types"
	@echo "make translations  bring the catalogs up to date with the texts and compile them; needs gettext"
	@echo "make docs          hold the documentation against the code"
	@echo "make cov           run the test suite and report what it does not reach"
	@echo "make browser       run the tests that drive Chromium"
	@echo "make firefox       run the main stories of pages and browser client in Firefox; make webkit in WebKitGTK"
	@echo "make js            run the browser client's unit tests; needs Node"
	@echo "make npm           build the browser client's npm package into dist/; needs Node"
	@echo "make npm-test      use that package in projects: types, Jest, Next.js, Vite and others; needs Node"
	@echo "make codes         write the API's error codes into the browser client's types"
	@echo "make schemathesis  send the example site what Schemathesis makes up from the OpenAPI schema"
	@echo "make django-suite  run Django's own session and auth tests on this engine"
	@echo "make allauth-suite run the tests of django-allauth on this engine"
	@echo "make neighbours    try thirteen packages that are used beside this one"
	@echo "make switching     switch real sites from other session engines to this one and back"
	@echo "make torture-lease try to have the engine leased_db accept what has ended; needs PostgreSQL's programs"
	@echo "make servers       try the engine leased_db behind gunicorn and others; needs PostgreSQL's programs"
	@echo "make bench         compare with other packages and write docs/performance.md; bench-quick prints a glance"
	@echo "make wheel         build the distributions into dist/"
	@echo "make packaging     install the wheel and follow the README with it"
	@echo "make clean         remove what these commands made"

demo: $(READY)-demo port
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py add_demo_data
	@DJANGO_RUNSERVER_HIDE_WARNING=true exec $(PY) manage.py runserver --noreload 127.0.0.1:$(PORT)

# The same site on Django's own sessions, and the switch while somebody is signed in.
demo-switch: export DJANGO_SETTINGS_MODULE = example_project.switch_settings
demo-switch: export DJANGO_RUNSERVER_HIDE_WARNING = true
demo-switch: $(READY)-demo port
	@$(PY) manage.py migrate --verbosity 0
	@exec $(PY) manage.py demo_switch $(PORT)

port: $(READY)-demo
	@$(PY) -c 'import socket; s = socket.socket(); \
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
		s.bind(("127.0.0.1", int("$(PORT)")))' 2>/dev/null \
		|| { echo "Port $(PORT) cannot be used: something else may be serving there." \
		"Choose another, for example: make demo PORT=8001" >&2; exit 1; }

# React for the example's page, from the npm registry; see example_project/react.
demo-react: react demo

react:
	@npm install --prefix example_project/react --no-package-lock --no-audit --no-fund --silent
	@node example_project/react/vendor.mjs example_project/static/example_project/vendor

test: $(READY)-test
	@$(PYTEST) -n $(WORKERS)

test-all: $(READY)-test
	@$(PYTEST) -n $(WORKERS) --thorough

lint: $(READY)-lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PYTEST) -m style

format: $(READY)-lint
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: $(READY)-types
	@$(PY) -m mypy

translations: $(READY)-test
	@cd django_sessions_plus && $(abspath $(PY)) -m django makemessages --all --no-location --no-wrap --no-obsolete
	@cd django_sessions_plus && $(abspath $(PY)) -m django compilemessages

docs: $(READY)-docs
	@$(PYTEST) -m docs

cov: $(READY)-cov
	@$(PYTEST) -n $(WORKERS) --thorough --cov --cov-report=term

browser: $(READY)-browser
	@$(PYTEST) -m browser

firefox webkit: $(READY)-engines
	@$(PYTEST) -m $@ tests/browser/engines

js:
	@npm install --prefix tests/js --no-package-lock --no-audit --no-fund --silent
	@node --test tests/js/*.test.mjs

npm:
	@npm install --prefix npm --no-package-lock --no-audit --no-fund --silent
	@node npm/build.mjs dist/npm
	@npm pack --silent --pack-destination dist ./dist/npm

npm-test: $(READY)-browser
	@$(PYTEST) -m npm

codes: $(READY)-test
	@$(PY) -m tests.api.client_codes

schemathesis: $(READY)-schema
	@$(PYTEST) -m schema

django-suite: $(READY)-test
	@$(PY) tests/django_suite/run.py

# These bring packages that the others must do without, so each has an environment of its own.
allauth-suite neighbours switching:
	@$(MAKE) --no-print-directory run-$@ VENV=$(VENV)-$@

run-allauth-suite: $(READY)-allauth-suite
	@$(PY) -m tests.allauth_suite.run

run-neighbours: $(READY)-neighbours
	@$(PY) -m tests.neighbours.run

run-switching: | $(PY)
	@$(PY) -m tests.switching.real.run --sessions $(SESSIONS) --environments $(VENV)/sites $(ENGINES)

# It starts servers of its own; the addresses only say which drivers are needed.
torture-lease:
	@$(MAKE) --no-print-directory run-$@ DATABASE_URL=postgres:// $(if $(findstring redis,$(TORTURE_ARGS)),REDIS_URL=redis://)

run-torture-lease: $(READY)-test
	@$(PY) -m tests.leasing.torture $(TORTURE_ARGS)

# The same, in an environment with the servers.
servers:
	@$(MAKE) --no-print-directory run-$@ VENV=$(VENV)-$@ DATABASE_URL=postgres://

run-servers: $(READY)-servers
	@$(PY) -m tests.leasing.servers $(SERVERS)

# MariaDB's driver is built from source. Without a compiler the rest is measured.
bench: $(READY)-bench
	@$(PY) -m pip install -qq mysqlclient || echo "mysqlclient cannot be installed: MariaDB will be left out"
	@$(PY) -m benchmarks compare
	@$(PY) -m benchmarks contention
	@$(PY) -m benchmarks scale --database sqlite
	@$(PY) -m benchmarks scale --rows $(BENCH_ROWS)

bench-quick: $(READY)-bench
	@$(PY) -m benchmarks compare --quick

wheel: $(READY)-packaging
	@$(PY) -m build --outdir dist
	@$(PY) -m twine check --strict dist/*

packaging: $(READY)-packaging
	@$(PYTEST) -m packaging

clean:
	@rm -rf $(VENV) $(VENV)-allauth-suite $(VENV)-neighbours $(VENV)-servers $(VENV)-switching build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache .tox
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY)-%: pyproject.toml | $(PY)
	@echo "Installing what make $* needs into $(VENV)"
	@$(PY) -m pip install -qq --editable '$(PACKAGE)' --group $*
	@touch $@

# The pip of older Pythons does not know dependency groups.
$(PY):
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Creating $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv $(VENV) && $(PY) -m pip install -qq --upgrade 'pip>=25.1' && exit 0; \
			rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed and $(or $(PYTHON),python3) is not." \
		"Name one: make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=/path/to/python3.13" >&2; \
	exit 1
