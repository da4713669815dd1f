# Everything runs in the project's own .venv; all that the machine needs is Python, make and a network with PyPI.
# uv itself is installed there by pip, so nothing is written outside this folder and no root is needed.
PYTHON ?= python3
UV := .uv/bin/uv
RUN := $(UV) run --frozen

.PHONY: help demo test setup check format lock clean

help:
	@echo "make demo    set up, fetch the models, and recognise real faces through boto3"
	@echo "make test    set up, and run the tests"
	@echo "make check   ruff, mypy, import rules, docs and coverage table"
	@echo "make setup   only set up"
	@echo "make format  let ruff format the code"

$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"

setup: $(UV)
	$(UV) sync --frozen --quiet

demo: setup
	$(RUN) recognizance demo

test: setup
	$(RUN) pytest -n 4

check: setup
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python -m scripts.check

format: setup
	$(RUN) ruff format
	$(RUN) ruff check --fix

lock: $(UV)
	$(UV) lock

clean:
	rm -rf .venv .uv
