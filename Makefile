# Two commands that need nothing before them: make demo, make test.

PORT ?= 5080
RUNS ?= 100
KILLS ?= 0
VENV := .venv
PYTHON := $(VENV)/bin/python
SYSTEM_PYTHON ?= python3
export PYTHONPATH :=
# The tests start hundreds of processes; none is to compile the whole program anew.
unexport PYTHONDONTWRITEBYTECODE

# What the functional and acceptance suites use, as Debian calls it.
PACKAGES := qemu-system-x86 qemu-utils libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system \
	libvirt-clients libvirt-dev pkg-config gcc python3-dev curl iproute2 busybox-static linux-image-cloud-amd64 \
	python3-ganeti-rapi systemd syslinux mtools dosfstools cpio util-linux etcd-server \
	ganeti-htools nftables dnsmasq-base iputils-arping etcd-client libfaketime \
	ceph-mon ceph-mgr ceph-osd ceph-common qemu-block-extra
DEBIAN_ROOT := $(shell [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ] && echo yes)

.PHONY: help demo lab lab-down test coverage lint bench bench-failover docs clean packages

help:
	@echo "make demo    run a cluster with simulated machines on https://127.0.0.1:$(PORT) (PORT= changes it)"
	@echo "make lab     run three nodes with etcd in network namespaces, with faults to cause (docs/lab.rst); needs root"
	@echo "make lab-down  end that, and leave nothing of it"
	@echo "make test    set up what the tests need and run all of them"
	@echo "make coverage  say how much of the program the unit, contract and functional tests run"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make bench   print figures, measured side by side in one run"
	@echo "make bench-failover  print for how long clients are without answers when the master fails (RUNS=100 of each kind)"
	@echo "make docs    make docs/reference from the tables in the code"
	@echo "make clean   remove what these made"

$(VENV)/installed: setup.py
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[test]'
	touch $@

ifeq ($(DEBIAN_ROOT),yes)
packages:
	@$(MAKE) --no-print-directory -j2 $(VENV)/debian $(VENV)/tested
	@$(MAKE) --no-print-directory $(VENV)/packages

$(VENV)/debian: Makefile
	mkdir -p $(VENV)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null
	touch $@

$(VENV)/packages: $(VENV)/debian | $(VENV)/tested
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[libvirt]'
	touch $@
else
packages: $(VENV)/tested
	@echo "Not root on Debian: the packages for the functional and acceptance tests are not installed;"
	@echo "suites that miss theirs are left out, each with its reason (see 'skipped' below)."
endif

demo: $(VENV)/installed
	@exec $(PYTHON) -m twisted_rapi.testing.demo --port $(PORT)

lab: packages
	@$(PYTHON) -m twisted_rapi.testing.lab up

lab-down: $(VENV)/installed
	@$(PYTHON) -m twisted_rapi.testing.lab down --all

# Lint is one of the parts that tests.run begins.
test: packages
	$(PYTHON) -m tests.run

coverage: packages
	$(PYTHON) -m tests.run --coverage

lint: $(VENV)/tested
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/tested
ifeq ($(DEBIAN_ROOT),yes)
	@command -v wrk >/dev/null || apt-get install -y -qq wrk >/dev/null || { apt-get update -qq && apt-get install -y -qq wrk >/dev/null; }
endif
	$(PYTHON) -m bench.run

bench-failover: packages
	@RUNS=$(RUNS) KILLS=$(KILLS) $(PYTHON) -m bench.failover

docs: $(VENV)/installed
	$(PYTHON) -m twisted_rapi.reference

clean:
	rm -rf $(VENV) .demo _trial_temp* build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
