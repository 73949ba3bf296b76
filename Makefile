# `make demo` and `make test` are all a newcomer needs; each builds .venv by itself.
.PHONY: demo test test-metaworld test-slow soak lint install graphics

export HF_HUB_OFFLINE ?= 1
export MUJOCO_GL ?= egl
BIN := .venv/bin

demo: install graphics
	$(BIN)/robo-reward demo

test: install graphics
	$(BIN)/pytest

test-metaworld: install graphics .venv/metaworld
	PYTHONPATH=$(CURDIR)/.venv/metaworld $(BIN)/pytest tests/test_sim_metaworld*.py tests/test_sim_collect.py \
		tests/test_sim_env.py -k "metaworld or meta_world or snapshot"

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

# The benchmark wants an old MuJoCo: it lies beside the other packages, where it replaces none.
.venv/metaworld: .venv/installed
	rm -rf $@ $@.partial
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $@.partial \
		$$(grep -o 'metaworld==[0-9.]*' pyproject.toml) mujoco==3.3.0 imageio
	mv $@.partial $@

graphics: install
	scripts/check_graphics.sh $(BIN)/python
