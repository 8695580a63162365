# The portable core's tests, on this machine: included by Makefile.
CORE_OUT := $(OUT)/core
CORE := $(wildcard core/*.c)
CORE_HEADERS := abi.h $(wildcard core/*.h test/core/*.h) $(CORE_OUT)/fields.inc core.mk
CORE_WARN := -std=c11 -Wall -Wextra -Werror -Wconversion -Wshadow -Wframe-larger-than=512
CORE_SEAM := test/core/seam.c -lpthread
CORE_TEST := -std=gnu11 -g -Wall -Wextra -Werror -I$(CORE_OUT)
CORE_UNIT := $(wildcard test/core/unit*.c)
CORE_SAN := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all

$(CORE_OUT)/fields.inc: abi.h test/core/fields.awk
	@mkdir -p $(@D)
	@awk -f test/core/fields.awk $< > $@

$(CORE_OUT)/golden: test/core/golden.c $(CORE) $(CORE_HEADERS)
	@$(CLANG) $(CORE_TEST) -O1 -o $@ $< $(CORE) $(CORE_SEAM)

# Writes the golden vectors anew, after a change of the ABI.
.PHONY: golden
golden: $(CORE_OUT)/golden
	@mkdir -p test/golden && rm -f test/golden/*.bin && $< test/golden

.PHONY: core-golden
core-golden: $(CORE_OUT)/golden
	@rm -rf $(CORE_OUT)/vectors && mkdir -p $(CORE_OUT)/vectors && $< $(CORE_OUT)/vectors
	@diff -rq $(CORE_OUT)/vectors test/golden || { echo 'the golden vectors are not those of the ABI: make -C driver golden'; exit 1; }
	@echo "golden: $$(ls test/golden/*.bin | wc -l) vectors are fresh"

$(CORE_OUT)/unit: $(CORE_UNIT) $(CORE) $(CORE_HEADERS)
	@$(CLANG) $(CORE_TEST) $(CORE_SAN) -o $@ $(CORE_UNIT) $(CORE) $(CORE_SEAM)

$(CORE_OUT)/unit-tsan: $(CORE_UNIT) $(CORE) $(CORE_HEADERS)
	@$(CLANG) $(CORE_TEST) -O1 -fsanitize=thread -o $@ $(CORE_UNIT) $(CORE) $(CORE_SEAM)

# The bar of branches, in hundredths of a percent. One is left to chance: a set swapped between two reads of one look-up.
# Counted atomically, because what threads count is subtracted from each other.
CORE_BAR := 9976
.PHONY: core-coverage
core-coverage: $(CORE_HEADERS)
	@$(CLANG) $(CORE_TEST) -O0 -fprofile-instr-generate -fprofile-update=atomic -fcoverage-mapping -o $(CORE_OUT)/unit-coverage $(CORE_UNIT) $(CORE) $(CORE_SEAM)
	@LLVM_PROFILE_FILE=$(CORE_OUT)/unit.profraw $(CORE_OUT)/unit-coverage >/dev/null
	@llvm-profdata merge -o $(CORE_OUT)/unit.profdata $(CORE_OUT)/unit.profraw
	@llvm-cov report $(CORE_OUT)/unit-coverage -instr-profile=$(CORE_OUT)/unit.profdata -show-region-summary=false $(CORE) | tee $(CORE_OUT)/coverage.txt
	@awk -v bar=$(CORE_BAR) '/^TOTAL/ { got = $$NF; sub(/%/, "", got); if (got * 100 < bar) { print "branches: " got " %, below the bar"; exit 1 } found = 1 } END { exit !found }' $(CORE_OUT)/coverage.txt

# What ships: for the kernel's target and for this one, with every warning, and with the analyzer's eye.
.PHONY: core-gates
core-gates: $(CORE_HEADERS)
	@for f in $(CORE); do \
	  $(CLANG) $(CORE_WARN) -O2 -ffreestanding -c $$f -o $(CORE_OUT)/gate.o; \
	  $(CLANG) $(CORE_WARN) --target=x86_64-w64-mingw32 -mno-stack-arg-probe -O2 -ffreestanding -c $$f -o $(CORE_OUT)/gate.obj; \
	  $(CLANG) -std=c11 --analyze -Xclang -analyzer-werror $$f -o /dev/null; \
	done; echo 'core: builds for the kernel without a warning'

$(CORE_OUT)/bench: test/core/bench.c $(CORE) $(CORE_HEADERS)
	@$(CLANG) -std=gnu11 -O2 -Wall -Wextra -Werror -o $@ $< $(CORE) $(CORE_SEAM)

# BENCH=--quick runs all of it briefly.
.PHONY: core-bench
core-bench: $(CORE_OUT)/bench
	@$< $(BENCH)

# What the fuzzer starts from: short golden vectors, sane filter sets, a few of each harness. The list is in order, so that a run can be had again.
$(CORE_OUT)/seeds.txt: test/core/seeds.c $(CORE_HEADERS) $(wildcard test/golden/*.bin)
	@rm -rf $(CORE_OUT)/seeds && mkdir -p $(CORE_OUT)/seeds
	@$(CLANG) $(CORE_TEST) -o $(CORE_OUT)/seed $< && $(CORE_OUT)/seed test/golden $(CORE_OUT)/seeds
	@LC_ALL=C ls $(CORE_OUT)/seeds/* | paste -sd, >$@

# CORE_FUZZ_SECONDS bounds the run.
CORE_FUZZ_SECONDS := 20
.PHONY: core-fuzz
core-fuzz: $(CORE_HEADERS) $(CORE_OUT)/seeds.txt
	@$(CLANG) $(CORE_TEST) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $(CORE_OUT)/fuzz $(wildcard test/core/fuzz*.c) $(CORE) $(CORE_SEAM)
	@$(CORE_OUT)/fuzz -max_total_time=$(CORE_FUZZ_SECONDS) -max_len=4096 -seed_inputs=@$(CORE_OUT)/seeds.txt -verbosity=0 -print_final_stats=1 \
	  -artifact_prefix=$(CORE_OUT)/ >$(CORE_OUT)/fuzz.log 2>&1 || { tail -n 60 $(CORE_OUT)/fuzz.log; exit 1; }
	@awk '/^stat::number_of_executed_units/ { print "fuzz: " $$2 " inputs" }' $(CORE_OUT)/fuzz.log

.PHONY: core-planted
core-planted: $(CORE_HEADERS) $(CORE_OUT)/seeds.txt
	@test/core/planted $(CORE_OUT)

.PHONY: core-unit
core-unit: $(CORE_OUT)/unit $(CORE_OUT)/unit-tsan
	@$(CORE_OUT)/unit && $(CORE_OUT)/unit-tsan

.PHONY: core-test
core-test: core-unit core-golden core-gates core-coverage core-planted
