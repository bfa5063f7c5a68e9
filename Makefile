.PHONY: demo test lint fix install clean

# The main job on this machine: engine, worker, page, sample catalogue. `make demo ARGS=--once` stops by itself.
demo:
	scripts/setup demo
	.venv/bin/hybrid demo $(ARGS)

# All the tests, against real engines, workers, models and a browser.
test: install lint
	.venv/bin/python -m pytest $(ARGS)

install:
	scripts/setup test

lint: install
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/python scripts/package_table
	.venv/bin/mypy

fix: install
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
