# Builds, installs and tests the extension the PGXS way. The top Makefile calls this
# from a build folder of its own per PostgreSQL version, so that objects of two
# versions never meet:
#
#   make -C build/extension-15 -f ../../extension/extension.mk PG_CONFIG=... all|install|installcheck

PG_CONFIG ?= pg_config
srcdir := $(abspath $(dir $(firstword $(MAKEFILE_LIST)))/..)

MODULE_big = ctms
EXTENSION = ctms
DATA = $(notdir $(wildcard $(srcdir)/ctms--*.sql))
SOURCES = $(shell cd $(srcdir) && find extension -name '*.c' | LC_ALL=C sort)
OBJS = $(SOURCES:.c=.o)
# PGXS makes no folders for objects.
$(shell mkdir -p $(sort $(dir $(OBJS))))

REGRESS = $(sort $(basename $(notdir $(wildcard $(srcdir)/test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)/test --load-extension=ctms
ISOLATION = $(sort $(basename $(notdir $(wildcard $(srcdir)/test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(srcdir)/test --load-extension=ctms

# Server headers count as system headers: our warnings are for our code.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) -I$(srcdir)
# A kind that a switch has forgotten is an error in every build.
# The same sources make the same files in any folder.
PG_CFLAGS = -ffile-prefix-map=$(srcdir)=. -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror=switch $(WERROR) -fvisibility=hidden -MMD -MP

# A PostgreSQL that was built in its own source folder does not set this for others.
VPATH := $(srcdir)

# No just-in-time bitcode: nothing here could be inlined into a query.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

-include $(OBJS:.o=.d)
