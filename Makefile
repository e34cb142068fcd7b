# Every target sets up what it needs first; see scripts/setup for what that is.
# Bytecode is kept: the tests start azready some hundred times.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
PYTHON := $(VENV)/bin/python
# Tests wait for guests and servers more than they compute: never fewer than four at once.
JOBS ?= $(shell cores=$$(nproc 2>/dev/null || echo 4); [ $$cores -gt 4 ] && echo $$cores || echo 4)

PYTEST := $(PYTHON) -m pytest -n $(JOBS) --dist worksteal --durations 10
# What `make quick` runs: what one process shows by itself. It computes and does not wait: a worker for each
# processor, and one that works while another tells what it did.
QUICK := tests/guest tests/fabric tests/boot tests/image/rules tests/image/formats tests/image/network tests/style \
	$(addprefix tests/azure/test_,requests.py problems.py ranges.py client.py)
WHOLE := $(addprefix tests/,guest/live guest/test_run.py guest/test_power_cut.py guest/test_interpreters.py fabric/agents \
	fabric/test_matrix.py boot/test_cli.py image/network/test_agreement.py image/rules/test_findings.py style/test_linters.py)
HOSTS ?= bookworm trixie sid
# What Microsoft's article publishes as samples, written anew from its description, and one that is mended.
GUESTS := tests/samples/guests
SAMPLES := --agent 'article-python=python3 $(GUESTS)/published.py' --agent 'article-bash=bash $(GUESTS)/published.sh' \
	--agent 'article-python-2026=python3 $(GUESTS)/published-2026.py' \
	--agent 'article-mended=python3 $(GUESTS)/mended.py'

.PHONY: help demo quick test test-all test-slow test-hosts fuzz crash mutants soak lint bench survey packages docs setup clean

help:
	@echo "make demo        a real Debian image loses its agent, gets ours, boots in a local Azure, and is judged"
	@echo "make quick       unit tests, which need nothing but Python (20 seconds)"
	@echo "make test        the tests that are short, in parallel (under three minutes)"
	@echo "make test-all    and the longer ones, as CI runs them (11 minutes)"
	@echo "make test-slow   the slow ones: emulated whole-disk boots (half an hour)"
	@echo "make test-hosts  demo and tests as on fresh hosts: $(HOSTS) (root; HOSTS=trixie for one)"
	@echo "make fuzz        long campaigns of random inputs: FUZZ='two_programs --seed 7 --runs 10000'"
	@echo "make crash       power cuts of a first boot at each change, on ext4, xfs and btrfs (root; an hour; ROW='xfs py plain lost')"
	@echo "make mutants     random changes of the code, of which its tests must notice nearly all (an hour; MUTANTS='rules --runs 60')"
	@echo "make soak        1,000 first boots while the platform misbehaves, Debian's agents beside (hours; SOAK='--runs 20')"
	@echo "make lint        ruff, mypy, shellcheck"
	@echo "make packages    .deb, .rpm, .apk and .tar of the guest program, in dist/"
	@echo "make docs        the site of docs/ and of the Python API, in dist/site"
	@echo "make bench       speed, as ratios in one run"
	@echo "make survey      agents x scenarios, to docs/survey.md: hours, but it goes on where it was broken off"

setup: $(VENV)/.ready-test

$(VENV)/.ready-%: pyproject.toml scripts/setup
	scripts/setup $* $(VENV)

demo: $(VENV)/.ready-demo
	$(VENV)/bin/azready demo $(DEMO)

quick: $(VENV)/.ready-quick
	@scratch=$$(mktemp -d -p $(firstword $(wildcard /dev/shm) /tmp) azready-quick.XXXXXX); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTEST) -n $$(($$(nproc) + 1)) --basetemp "$$scratch/tests" -o tmp_path_retention_policy=all \
		--quick -m "not slow and not long" $(QUICK) $(addprefix --ignore=,$(WHOLE))

test: setup
	$(PYTEST) -m "not slow and not long" tests

test-all: setup
	$(PYTEST) -m "not slow" tests

test-slow: setup
	$(PYTEST) -m slow tests

test-hosts:
	@red=; for suite in $(HOSTS); do \
		echo "as on a host with Debian $$suite:"; \
		scripts/as-host $$suite make demo test-all DEMO=--whole || red="$$red $$suite"; \
	done; [ -z "$$red" ] || { echo "not green:$$red" >&2; exit 1; }

fuzz: setup
	$(PYTHON) -m tests.fuzz $(FUZZ)

crash: setup
	$(PYTHON) -m tests.crash $(ROW)

mutants: setup
	$(PYTHON) -m tests.mutants $(MUTANTS)

# Goes on where it was broken off (.soak.jsonl).
soak: setup
	$(PYTHON) -m tests.soak $(SOAK)

lint: setup
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m pytest -q tests/style

# Goes on where it was broken off (.survey/runs.jsonl); hours, since many cells wait. SURVEY='--limit 50' for a part;
# AGENTS='--agent waagent-sid' for some columns, the others stay as they are.
AGENTS ?= --agent all $(SAMPLES)
survey: setup
	$(VENV)/bin/azready fabric survey .survey --runs 2 --jobs $(JOBS) $(AGENTS) --expect report-only \
		--beside docs/survey.json $(SURVEY); \
		test $$? -le 1 && cp .survey/survey.md .survey/survey.html .survey/survey.json docs/

# BENCH='guest' for one part, which leaves the page as it is.
bench: setup
	$(PYTHON) -m bench $(or $(BENCH),--page docs/figures.md)

packages: setup
	$(PYTHON) -m release $(RELEASE)

# Strict: a link that leads nowhere is an error.
docs: setup
	$(PYTHON) -m mkdocs build

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
