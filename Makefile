.PHONY: demo test test-long lint fix install docs pictures clean

# The main job on this machine: engine, worker, page, sample catalogue. `make demo ARGS=--once` stops by itself.
demo:
	scripts/setup demo
	.venv/bin/hybrid demo $(ARGS)

# The tests, against real engines, workers, models and a browser: one process for each of the two versions of the engine.
test: install lint
	.venv/bin/python -m pytest -n 2 --durations=30 $(or $(ARGS),--cov --cov-report=term:skip-covered)

# Also what takes long and guards little else, and every test on both versions.
test-long: install lint
	.venv/bin/python -m pytest --long -n 2 --durations=30 $(ARGS)

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

# The site, into site/. A warning is an error.
docs: install
	.venv/bin/python -m scripts.settings_page
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

# The pictures of the documentation, taken anew from a demo that is started for it. `make pictures ARGS="URL NAME
# PASSWORD"` takes them from one that runs.
pictures: install
	.venv/bin/python -m tests.journeys.browser.docs_pictures $(ARGS)

clean:
	rm -rf .venv site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
