# `make demo` and `make test` are all a newcomer needs; each builds .venv by itself.
.PHONY: demo test test-slow soak lint install graphics

export HF_HUB_OFFLINE ?= 1
export MUJOCO_GL ?= egl
BIN := .venv/bin

demo: install graphics
	$(BIN)/robo-reward demo

test: install graphics
	$(BIN)/pytest

test-slow: install graphics
	$(BIN)/pytest -m "slow and not soak" --timeout 3000

soak: install graphics
	$(BIN)/pytest -m soak --timeout 36000

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed

.venv/installed: pyproject.toml scripts/find_python.sh
	scripts/find_python.sh -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

graphics: install
	scripts/check_graphics.sh $(BIN)/python
