# Builds the programs and the C unit tests; included by the top Makefile.
# Every program is the objects of its folder plus the objects of common/; the agent speaks HTTP with
# those of rest/http/, and Acoustic with those of acoustic/ and bulk/, as the command line does.

CC ?= gcc
PROGRAM_PACKAGES = libpq libevent libevent_pthreads libcurl libxml-2.0 jansson cjose libargon2 libcrypto
# Make reads this file before scripts/install-packages has had its turn.
PACKAGE_FLAGS = ! command -v pkg-config >/dev/null || pkg-config
# The same sources make the same files in any folder.
PROGRAM_CFLAGS = -ffile-prefix-map=$(CURDIR)=. -std=gnu11 -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer -fstack-protector-strong \
	-D_FORTIFY_SOURCE=2 -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Werror=switch $(WERROR) \
	$(if $(SANITIZE),-U_FORTIFY_SOURCE -fsanitize=$(SANITIZE) -fno-sanitize-recover=all) \
	-I. $(shell $(PACKAGE_FLAGS) --cflags-only-I $(PROGRAM_PACKAGES) | sed 's/-I/-isystem /g') -MMD -MP
PROGRAM_LDFLAGS = $(if $(SANITIZE),-fsanitize=$(SANITIZE)) -Wl,-z,relro -Wl,-z,now -Wl,--as-needed
PROGRAM_LIBS = $(shell $(PACKAGE_FLAGS) --libs $(PROGRAM_PACKAGES)) -lpthread -lm

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(shell find $(1) -name '*.c' | LC_ALL=C sort))
COMMON_OBJS = $(call object,common)

ctms-rest_DIR = rest
ctms-agent_DIR = agent
ctms-agent_MORE = rest/http acoustic bulk
ctms_DIR = cli
ctms_MORE = acoustic bulk
acoustic-sandbox_DIR = test/acoustic-sandbox
http-load_DIR = bench/http-load
PROGRAMS = $(foreach p,ctms-rest ctms-agent ctms acoustic-sandbox http-load,$(if $(wildcard $($(p)_DIR)/main.c),$(p)))
INSTALLED_PROGRAMS = ctms-rest ctms-agent ctms

programs: $(addprefix $(BUILD)/bin/,$(PROGRAMS))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(quiet)$(CC) $(PROGRAM_CFLAGS) -c -o $@ $<

# Files that become part of a program.
SWAGGER_UI_FILES = swagger-ui-bundle.js swagger-ui.css NOTICE swagger-ui-bundle.js.LICENSE.txt
SWAGGER_UI = $(addprefix build/swagger-ui/,$(SWAGGER_UI_FILES))
$(BUILD)/obj/rest/docs.o: $(wildcard rest/swagger-ui/*) $(SWAGGER_UI)
$(BUILD)/obj/rest/openapi.o: rest/openapi_parts.json
$(BUILD)/obj/cli/import/import.o: $(wildcard cli/import/*.sql)
$(BUILD)/obj/cli/cmd_acoustic_show.o: cli/acoustic_show.sql
$(BUILD)/obj/cli/find_contact.o: cli/find_contact.sql
$(BUILD)/obj/cli/doctor/objects.o: cli/doctor/triggers.sql
$(BUILD)/obj/cli/doctor/parts.o: cli/doctor/parts.sql

# The last lines of the files name source maps that are not served.
$(SWAGGER_UI) &: rest/swagger-ui/package-lock.json
	$(call say,NPM,swagger-ui-dist)
	$(quiet)scripts/npm-packages install rest/swagger-ui build/swagger-ui
	@for file in $(SWAGGER_UI_FILES); do \
		sed '/sourceMappingURL=/d' build/swagger-ui/node_modules/swagger-ui-dist/$$file \
			>build/swagger-ui/$$file || exit 1; done

define program_rule
$(BUILD)/bin/$(1): $(call object,$($(1)_DIR) $($(1)_MORE)) $(COMMON_OBJS)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$(CC) $(PROGRAM_LDFLAGS) -o $$@ $$^ $(PROGRAM_LIBS)
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rule,$(program))))

# A unit test links the objects it names in a comment "uses: a.c b.c" and common/.
UNIT_TESTS = $(patsubst test/unit/%.c,$(BUILD)/test/unit/%,$(wildcard test/unit/*.c))
unit-tests: $(UNIT_TESTS)
# Newer versions of cmocka have other names for some checks, which that of Debian 12 does not know.
$(BUILD)/obj/test/unit/%.o: PROGRAM_CFLAGS += -DCMOCKA_DISABLE_DEPRECATION_WARNINGS

unit_objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(shell sed -n 's/.*uses: *\(.*\.c\).*/\1/p' $(1)))
define unit_rule
$(BUILD)/test/unit/$(1): $(BUILD)/obj/test/unit/$(1).o $(call unit_objects,test/unit/$(1).c) $(COMMON_OBJS)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$(CC) $(PROGRAM_LDFLAGS) -o $$@ $$^ $(PROGRAM_LIBS) -lcmocka
endef
$(foreach test,$(basename $(notdir $(wildcard test/unit/*.c))),$(eval $(call unit_rule,$(test))))

install-programs: programs
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(addprefix $(BUILD)/bin/,$(INSTALLED_PROGRAMS)) $(DESTDIR)$(PREFIX)/bin

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
