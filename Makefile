# Everything a contributor or CI runs. `make` lists the targets.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
VLLM   := .venv-vllm

.PHONY: help install demo test vllm test-vllm check format bench clean faults s3 gcs audit

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

# Reinstalled whenever a dependency or a pin changes.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench,models]'
	@touch $@

install: $(STAMP)  ## headrace and its tools into .venv

demo: install    ## the web recipe on the bundled sample: prints the funnel, says where the report is
	rm -rf demo
	$(BIN)/headrace run web --input tests/data/sample.warc.gz --output demo
	$(BIN)/headrace report demo

test: install    ## all tests
	$(BIN)/python -m pytest

# vLLM shares no environment with our transformers: it has its own, 2.8 GB and some minutes. Tests of it skip elsewhere.
$(VLLM)/.installed: infra/vllm-constraints.txt
	$(PYTHON) -m venv $(VLLM)
	nice -n 5 $(VLLM)/bin/python -m pip install --quiet --no-deps --requirement infra/vllm-constraints.txt
	@touch $@

vllm: $(VLLM)/.installed  ## vLLM for the CPU into .venv-vllm

test-vllm: vllm  ## the tests of engine vllm: and of vLLM's server, in .venv-vllm
	OMP_NUM_THREADS=1 nice -n 5 $(VLLM)/bin/python -m pytest -W 'ignore:Unclosed context:ResourceWarning' \
		tests/stages/models/on_vllm

faults: install  ## the long form of the fault suite, twenty minutes and more
	HEADRACE_FAULTS=1 HEADRACE_KILLS=10 $(BIN)/python -m pytest tests/faults tests/infra tests/cluster/test_barrier_crash.py \
		tests/pipelines/test_served.py tests/pipelines/test_web.py tests/pipelines/test_dedup_stream.py \
		tests/cluster/test_barrier_order.py tests/security
	HEADRACE_HYPOTHESIS=random $(BIN)/python -m pytest -m hypothesis

s3: install      ## commit, resume and lease against Ceph's gateway (Debian: radosgw ceph-mon ceph-osd ceph-common)
	where=$$(mktemp -d)/ceph; set=$$(sh tests/s3/radosgw.sh start $$where) && eval "$$set" && \
	$(BIN)/python -m pytest tests/cluster/test_s3.py tests/cluster/test_lease.py -k s3; \
	rc=$$?; sh tests/s3/radosgw.sh stop $$where; exit $$rc

gcs: install     ## storage and lease on gs:// against a server in the tests
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gcs]'
	$(BIN)/python -m pytest tests/cluster/test_gcs.py tests/cluster/test_gcs_slot.py
	$(BIN)/python -m pytest tests/cluster/test_lease.py -k gcs

audit: install   ## pins, licences, and known vulnerabilities (which needs the network)
	$(BIN)/python -m pip check
	$(BIN)/python -m pytest -q tests/security/test_dependencies.py
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit==2.10.1
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

check: install   ## what CI checks: lint, format, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: install  ## rewrite to the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install   ## most of benchmarks/, one JSON line each
	@for b in engine web linearity agreement memory minhash language extraction screen dedup substring decontaminate model_server synthetic_cpt simulate resume; do $(BIN)/python benchmarks/$$b.py || exit 1; done

clean:           ## forget what was built here
	rm -rf $(VENV) .venv-vllm .venv-audit demo build *.egg-info
