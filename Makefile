# SPDX-License-Identifier: GPL-2.0-or-later
#
# The front door: every target is a line or two that calls a script in
# scripts/remote-io/ or ninja in build/.  "make help" lists them.

MAKEFLAGS += -rR --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.NOTPARALLEL:

tools := scripts/remote-io
BUILD := build
# What configure's outcome depends on, besides the system's packages.
inputs := configure $(addprefix $(tools)/,lib.sh apt.sh get-qemu get-meson \
                                          packages need-packages)
programs := qemu-system-x86_64 remote-io-server qemu-img qemu-io qemu-nbd \
            storage-daemon/qemu-storage-daemon

# Of sessions over a hostile network, in `make soak`; a million take a minute.
schedules := tests/remote-io/test-remote-io-schedules
SCHEDULES := 100000000
# Faults that befall a device and its disk, for each of two paths.
CYCLES := 1000

# All steps of one run count their time from here.
export REMOTE_IO_START := $(shell date +%s)

.PHONY: all help run check check-asan check-fresh bench fuzz soak install \
        clean distclean configured script remote-io-server qemu-system-x86_64

all: configured   ## build QEMU, the server and the disk tools (the default)
	@$(tools)/build $(BUILD) $(programs)

help:             ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' Makefile | sort | expand -t 16
	@echo
	@echo "Variables: SCRIPT=FILE MINUTES=N SEED=N SCHEDULES=N CYCLES=N DESTDIR=DIR JOBS=N V=1"
	@echo "make run:  GUEST=small (no disk), FIRMWARE=uefi, and DISK=FILE: live on"
	@echo "           in that image, which is made if it is not there"

run: script all ## boot Debian from a remote disk, on a remote console (SCRIPT=FILE)
	@$(tools)/run-guest $(if $(SCRIPT),--script '$(SCRIPT)') \
	    $(if $(GUEST),--guest '$(GUEST)') $(if $(DISK),--disk '$(DISK)') \
	    $(if $(FIRMWARE),--firmware '$(FIRMWARE)')

check: needs-check all ## run all tests; ends with "N passed, N failed, N skipped"
	@$(tools)/fetch-kernel > /dev/null
	@$(tools)/build-root > /dev/null || echo "Tests that need it are skipped." >&2
	@$(tools)/run-tests $(BUILD)

check-asan: needs-check ## run unit tests and qtests with sanitizers
	@./configure --build=build-asan -- --enable-asan --enable-ubsan
	@$(tools)/run-tests --sanitized build-asan

check-fresh: needs-fresh ## run the README's two commands in a new Debian root
	@tests/remote-io/check-fresh

bench: needs-bench all ## measure, and print the table of all figures
	@tests/remote-io/bench/run

fuzz: needs-check all ## feed both ends bad input for a long time (MINUTES=N)
	@tests/remote-io/fuzz/run

soak: needs-check all ## SCHEDULES=N, CYCLES=N of faults, then load a guest (MINUTES=N SEED=N)
	@$(tools)/build $(BUILD) $(schedules)
	@$(BUILD)/$(schedules) --schedules $(SCHEDULES) -p \
	    /remote-io/schedules/promises-hold-in-every-one
	@CYCLES=$(CYCLES) RIO_BUILD=$(CURDIR)/$(BUILD) \
	    tests/remote-io/check-resilience
	@tests/remote-io/soak/run

install: all      ## install into $(DESTDIR) and the prefix
	@$(tools)/install-build $(BUILD)

clean:            ## delete what was compiled
	@for dir in build build-*; do \
	    if [ -f $$dir/build.ninja ]; then ninja -C $$dir -t clean; fi; \
	done

distclean:        ## delete all that is not in the repository
	rm -rf build build-* qemu qemu.tmp

# Targets of ninja by their name, as in "make remote-io-server".
remote-io-server qemu-system-x86_64: configured
	@$(tools)/build $(BUILD) $@

configured: $(BUILD)/remote-io.configured

$(BUILD)/remote-io.configured: $(inputs)
	@./configure --build=$(BUILD) --again

# A script that is not there must not cost a build first.
script:
	@$(if $(SCRIPT),test -r '$(SCRIPT)' || { echo "make run: cannot read \
	SCRIPT=$(SCRIPT): name a file of shell commands" >&2; exit 1; },:)

needs-%:
	@$(tools)/need-packages build $*
