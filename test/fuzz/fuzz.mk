# Builds what fuzzes; included by the top Makefile. See docs/fuzzing.md.
#
# The extension's side is a library that a backend loads: the whole extension once more,
# with the files of test/fuzz/backend. build/fuzz/ctms_fuzz.so has sanitizers and libFuzzer
# in it; $(EXTENSION_BUILD)/ctms_fuzz.so has neither and only replays.

FUZZ_SECONDS ?= 60
FUZZ_CLANG ?= clang
FUZZ_SERVER_INCLUDE = $(shell $(PG_CONFIG) --includedir-server)
FUZZ_SANITIZERS = address,undefined
FUZZ_FLAGS = -O1 -Wno-ignored-attributes -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,$(FUZZ_SANITIZERS) \
	-fno-sanitize-recover=all
FUZZ_EXTENSION_FLAGS = -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -fno-strict-aliasing \
	-isystem $(FUZZ_SERVER_INCLUDE) -I. -MMD -MP
# Each piece of memory is to be a malloc of its own.
FUZZ_MEMORY = -DAllocSetContextCreateInternal=fuzz_context_create

EXTENSION_SOURCES = $(shell find extension -name '*.c' | LC_ALL=C sort)
FUZZ_BACKEND = $(wildcard test/fuzz/backend/*.c)
FUZZ_BACKEND_OBJS = $(patsubst %.c,build/fuzz/obj/%.o,$(EXTENSION_SOURCES) $(FUZZ_BACKEND))
FUZZ_REPLAY_OBJS = $(patsubst %.c,$(EXTENSION_BUILD)/%.o,$(FUZZ_BACKEND))
FUZZ_RUNTIME = $(shell $(FUZZ_CLANG) -print-file-name=libclang_rt.fuzzer_no_main-x86_64.a)

build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ-CC,$<)
	$(quiet)$(FUZZ_CLANG) $(FUZZ_EXTENSION_FLAGS) $(FUZZ_MEMORY) -DCTMS_LIBFUZZER $(FUZZ_FLAGS) -c -o $@ $<

# Names are bound inside the library: the sanitizer's own runtime has hooks of the same names.
build/fuzz/ctms_fuzz.so: $(FUZZ_BACKEND_OBJS)
	$(call say,LINK,$@)
	$(quiet)$(FUZZ_CLANG) -shared -Wl,-Bsymbolic -o $@ $^ $(FUZZ_RUNTIME) -lstdc++ -lm

build/fuzz/preload.so: test/fuzz/preload.c
	@mkdir -p $(@D)
	$(quiet)$(FUZZ_CLANG) -shared -fPIC -O1 -o $@ $<

$(EXTENSION_BUILD)/test/fuzz/%.o: test/fuzz/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(quiet)$(CC) $(FUZZ_EXTENSION_FLAGS) -O2 -g -fwrapv -Wall -Wextra -Wno-unused-parameter $(WERROR) -c -o $@ $<

# ---- programs: a target links the objects it names in "uses: a.c b.c" and common/ -----------

FUZZ_PROGRAMS = $(filter-out replay,$(basename $(notdir $(wildcard test/fuzz/programs/*.c))))
fuzz_uses = $(shell sed -n 's/.*uses: *\(.*\.c\).*/\1/p' test/fuzz/programs/$(1).c)
FUZZ_PROGRAM_FLAGS = $(filter-out -D_FORTIFY_SOURCE=2 -O2,$(PROGRAM_CFLAGS)) $(FUZZ_FLAGS)

build/fuzz/programs/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ-CC,$<)
	$(quiet)$(FUZZ_CLANG) $(FUZZ_PROGRAM_FLAGS) -c -o $@ $<

define fuzz_program_rule
build/fuzz/bin/$(1): $(patsubst %.c,build/fuzz/programs/%.o,test/fuzz/programs/$(1).c $(call fuzz_uses,$(1)) $(wildcard common/*.c))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$(FUZZ_CLANG) -fsanitize=fuzzer,$(FUZZ_SANITIZERS) -Wl,--as-needed -o $$@ $$^ $(PROGRAM_LIBS)

$(BUILD)/test/fuzz/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,test/fuzz/programs/$(1).c test/fuzz/programs/replay.c $(call fuzz_uses,$(1))) $(COMMON_OBJS)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$(CC) $(PROGRAM_LDFLAGS) -o $$@ $$^ $(PROGRAM_LIBS)
endef
$(foreach program,$(FUZZ_PROGRAMS),$(eval $(call fuzz_program_rule,$(program))))

# ---- all ----------------------------------------------------------------------------------

fuzz-replay: extension $(FUZZ_REPLAY_OBJS) $(addprefix $(BUILD)/test/fuzz/,$(FUZZ_PROGRAMS))
	$(call say,LINK,$(EXTENSION_BUILD)/ctms_fuzz.so)
	$(quiet)$(CC) -shared -o $(EXTENSION_BUILD)/ctms_fuzz.so $(FUZZ_REPLAY_OBJS) \
		$(patsubst %.c,$(EXTENSION_BUILD)/%.o,$(EXTENSION_SOURCES))

fuzz:
	$(quiet)scripts/install-packages lint
	$(quiet)+$(MAKE) --no-print-directory private-postgres build/fuzz/ctms_fuzz.so \
		build/fuzz/preload.so $(addprefix build/fuzz/bin/,$(FUZZ_PROGRAMS))
	$(quiet)FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz $(FUZZ_TARGETS)

.PHONY: fuzz fuzz-replay

-include $(shell find build/fuzz/programs -name '*.d' 2>/dev/null) $(FUZZ_BACKEND_OBJS:.o=.d) $(FUZZ_REPLAY_OBJS:.o=.d)
