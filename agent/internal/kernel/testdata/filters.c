/* Puts a set of filters from standard input in force by the driver's own code, and
 * prints the result and whether a name is matched: filters KIND MATCH NAME. */
#include "core.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct core_filters filters;
static uint64_t blob[ASSAY_FILTERS_MOST / 8 + 1];

int main(int argc, char **argv) {
    uint16_t text[1024];
    uint32_t chars = 0;
    size_t size = fread(blob, 1, sizeof blob, stdin);

    if (argc != 4 || strlen(argv[3]) > 1024)
        return 2;
    while (argv[3][chars] != 0) {
        text[chars] = (uint8_t)argv[3][chars];
        chars++;
    }
    core_filters_start(&filters);
    int result = core_filters_set(&filters, blob, (uint32_t)size);
    printf("%d %d\n", result, core_filters_match(&filters, (uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]), text, chars * 2u) != 0);
    return 0;
}
