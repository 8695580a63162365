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
