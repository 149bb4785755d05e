# make            builds ./berth, static
# make demo       shows what it is for; touches nothing of this machine
# make test       installs what the tests need, and runs them all
# make help       lists the rest

PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
GO      ?= go

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 20s

export CGO_ENABLED = 0
# An older Go fetches the one that go.mod names.
export GOTOOLCHAIN ?= auto
# The version is stamped below; asking git a second time fails in a clone that another user owns.
export GOFLAGS += -buildvcs=false

.DEFAULT_GOAL = build
.NOTPARALLEL:
.PHONY: build install uninstall demo test test-quick setup lint fuzz clean help FORCE

build: berth            ## build ./berth (the default)

berth: FORCE
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/berth

install:                ## install binary and unit below $(DESTDIR)$(PREFIX)
	@test -x berth || { echo "install: build it first: make" >&2; exit 1; }
	install -D -m 755 berth $(DESTDIR)$(PREFIX)/bin/berth
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|^\(Exec[A-Za-z]*\)=[^ ]*|\1=$(PREFIX)/bin/berth|' packaging/berth.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/berth.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/berth.service
	install -D -m 644 packaging/berth.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/berth.conf
	@if test -z '$(DESTDIR)' && test -d /run/systemd/system; then systemd-sysusers; systemctl daemon-reload; fi

uninstall:              ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/berth $(DESTDIR)$(PREFIX)/lib/systemd/system/berth.service \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/berth.conf

demo: build             ## show the main job in a private network namespace
	./berth demo

test: setup lint .cache/run ## all tests; what can not run here is listed at the end
	@.cache/run

test-quick: .cache/run  ## the tests beside the code only, in less than two minutes
	@.cache/run -quick

setup:                  ## install what the tests need (Debian, Ubuntu)
	@test/setup.sh

.cache/run: FORCE
	@$(GO) build -o $@ ./test/run

lint:                   ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l cmd internal test); test -z "$$unformatted" || { echo "gofmt -w needed: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	@$(GO) mod tidy -diff
	@if GOBIN=$(CURDIR)/.cache $(GO) install $(STATICCHECK); then .cache/staticcheck ./...; \
	elif test -n "$$CI"; then exit 1; \
	else echo "lint: staticcheck is skipped: it could not be downloaded"; fi

fuzz:                   ## run every fuzz target for FUZZTIME (20s)
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd internal | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) || exit 1; \
		done; \
	done

clean:                  ## remove what was built
	rm -rf berth dist .cache

help:                   ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
