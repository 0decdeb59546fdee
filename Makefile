# `make audit` audits the default PM, `make test` runs the tests; both set up .venv first.

PYTHON ?= python3
# An index that holds CPU builds of torch. PyTorch's install page names it: choose Pip and CPU.
TORCH_INDEX ?=

venv := .venv
python := $(venv)/bin/python
# The pins hold for what builds the package too, which no option reaches. Bytecode is written when a
# module is first imported: compiling all of it takes 300 MB more.
install := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
  .ci/installing $(python) -m pip install --quiet --no-compile --no-cache-dir --disable-pip-version-check \
  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable
sizes = $(shell sed -n 's/^\# $(1): //p' constraints.txt)

.PHONY: help audit test lock docs docs-samples docs-picture clean

help:
	@echo "make audit         set up $(venv) and audit the default PM with the shipped hypotheses"
	@echo "make test          set up $(venv) and run every check and test"
	@echo "make docs-samples  write the sample outputs in README and docs again"
	@echo "make docs-picture  take README's picture of the page again, with chromium"
	@echo "make docs          build the documentation into site/"
	@echo "make lock          write constraints.txt again, from the newest releases"
	@echo "make clean         remove $(venv), site/ and build/"
	@echo "TORCH_INDEX=URL    an index with CPU builds of torch; PYTHON=python3.12 another Python"

# pytest exits with 1 where a check is not passed, which is a result and no error of make's.
audit: $(venv)/audit.done
	@$(python) -m pytest --pm-audit || { status=$$?; [ $$status -eq 1 ] || exit $$status; }

test: $(venv)/test.done
	OMP_NUM_THREADS=1 $(python) -m pytest -n 2

docs: $(venv)/docs.done
	$(python) -m mkdocs build

# From reports/baseline.json, the record of the default PM that is committed.
docs-samples: $(venv)/audit.done
	$(venv)/bin/pm-audit report reports/baseline.json -o reports/default.md
	$(python) docs/make_formats.py
	$(python) docs/make_yaml.py
	$(python) docs/make_settings.py
	$(python) docs/make_pictures.py
	$(python) docs/samples.py

docs-picture: $(venv)/audit.done
	$(venv)/bin/pm-audit report reports/baseline.json -o build/report.html
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1280,900 \
	  --screenshot=docs/report.png file://$(CURDIR)/build/report.html

$(python):
	$(PYTHON) -m venv $(venv)

$(venv)/audit.done: pyproject.toml constraints.txt | $(python)
	@echo "installing into $(venv), once: $(call sizes,audit)"
	@$(if $(TORCH_INDEX),,echo "(Linux: a torch with CUDA is 2.7 GB more; TORCH_INDEX=URL takes a CPU build)")
	$(install) .
	@touch $@

$(venv)/test.done: pyproject.toml constraints.txt | $(python)
	@echo "installing into $(venv), once: $(call sizes,test)"
	$(install) '.[test]'
	@touch $@

$(venv)/docs.done: pyproject.toml constraints.txt | $(python)
	$(install) '.[docs]'
	@touch $@

# The newest releases that the requirements allow, without the tag of a build such as torch's +cpu.
lock:
	@mkdir -p build
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) .ci/lock > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(venv) site build
