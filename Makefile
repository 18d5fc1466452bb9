# Two commands set everything up on a machine that has only Python 3.11 or newer:
#   make verify   environment, the trial of every theorem, the HTML report
#   make test     environment, lint, types, all tests
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: verify test lint bench clean
# A falsified or an open claim is a result and no failure of the command: its exit codes 1 and 3 are passed over.
verify: $(STAMP)
	$(BIN)/ratecheck verify --profile quick --power 12 --report output/report.html || { code=$$?; [ $$code -eq 1 ] || [ $$code -eq 3 ]; }

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ratecheck needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf .venv output
