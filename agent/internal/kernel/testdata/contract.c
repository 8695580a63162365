/* Prints the contract's numbers in the order in which TestContract has them. */
#include "abi.h"
#include <stdio.h>

int main(void) {
    printf("%u %u %u %u %zu %zu %zu %zu %u %u ", ASSAY_ABI_VERSION, ASSAY_MAGIC, ASSAY_CLASSES, ASSAY_SOURCES, sizeof(struct assay_header),
           sizeof(struct assay_ref), sizeof(struct assay_batch), sizeof(struct assay_description), ASSAY_RECORD_MOST, ASSAY_READ_MOST);
    printf("%u %u %u %u %u %u %u %u %u ", ASSAY_IOCTL_DESCRIBE, ASSAY_IOCTL_READ, ASSAY_IOCTL_FILTERS, ASSAY_IOCTL_HEALTHY,
           ASSAY_IOCTL_UNLOAD, ASSAY_FILTERS_MOST, ASSAY_FILTERS_SECTIONS, ASSAY_FILTERS_ENTRIES, ASSAY_FILTERS_CHARS);
    printf("%zu %zu %zu %zu %zu\n", sizeof(struct assay_filters), sizeof(struct assay_filter_section), sizeof(struct assay_filter_entry),
           sizeof(struct assay_read), sizeof(struct assay_request));
    return 0;
}
