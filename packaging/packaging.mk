# Manual pages, completion, and packages; included by the top Makefile.

VERSION = $(shell sed -n 's/^\#define CTMS_VERSION "\(.*\)"/\1/p' common/version.h)
# Version of the Debian packages.
DEB_VERSION ?= $(VERSION)
MANUALS = build/man/ctms.1 build/man/ctms-rest.8 build/man/ctms-agent.8

manuals: $(MANUALS)

build/man/%: $(BUILD)/bin/$$(basename $$*) scripts/generate-manual
	@mkdir -p build/man
	$(quiet)scripts/generate-manual $< $(subst .,,$(suffix $*)) $(VERSION) >$@.new && mv $@.new $@

install-data: manuals
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 build/man/ctms.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 build/man/ctms-rest.8 build/man/ctms-agent.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -D -m 644 packaging/completion/ctms.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ctms
	install -D -m 644 packaging/completion/_ctms $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_ctms

# Writes build/deb/*.deb, for the PostgreSQL of PG_CONFIG.
deb:
	$(quiet)scripts/install-packages deb
	$(quiet)+$(MAKE) --no-print-directory deb-files

deb-files: all manuals
	$(quiet)scripts/build-packages $(DEB_VERSION) $(PG_CONFIG)

# In Debians that it makes; long, and as root.                   (SUITES="bookworm trixie forky")
check-packages:
	$(quiet)scripts/install-packages roots
	$(quiet)scripts/check-packages $(SUITES)

# Images for containers, with podman or docker    (IMAGE_OPTIONS="--build-arg BASE=…")
images:
	$(quiet)scripts/build-images $(VERSION) $(IMAGE_OPTIONS)

# The page of /docs is part of the context, so that no image has to fetch it.
check-containers: $(SWAGGER_UI)
	$(quiet)scripts/install-packages containers || true
	$(quiet)scripts/check-containers

# Writes build/ctms-VERSION.tar.gz, which builds and passes its tests without a network.
dist:
	$(quiet)scripts/make-dist $(VERSION)

# Writes build/ctms-VERSION.spdx.json: what the packages that are built here are made of.
sbom:
	@mkdir -p build
	$(quiet)scripts/make-sbom $(VERSION) >build/sbom.new && mv build/sbom.new build/ctms-$(VERSION).spdx.json

PGXN_VERSION = $(shell sed -n '0,/"version"/s/.*"version": "\(.*\)",/\1/p' packaging/META.json)

# Writes the archive for pgxn.org: the committed tree with META.json at the top.
pgxn:
	@mkdir -p build
	TZ=UTC git archive --prefix=ctms-$(PGXN_VERSION)/ --add-file=packaging/META.json --format=zip \
		-o build/ctms-$(PGXN_VERSION).zip HEAD

.PHONY: manuals install-data deb deb-files images check-containers check-packages dist sbom pgxn
