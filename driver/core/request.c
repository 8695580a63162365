/* What comes through the device, checked before anything acts on it. `in` is the system's copy, aligned to 8 bytes. */
#include "core.h"

static enum core_result Version(uint32_t version) {
    return version >= ASSAY_ABI_OLDEST && version <= ASSAY_ABI_VERSION ? CORE_OK : CORE_REVISION;
}

static enum core_result Order(const void *in, uint32_t in_size, uint64_t load) {
    const struct assay_request *request = in;

    if (in_size != sizeof *request)
        return CORE_INVALID;
    if (Version(request->version) != CORE_OK)
        return CORE_REVISION;
    if (request->reserved != 0)
        return CORE_INVALID;
    return request->load == load ? CORE_OK : CORE_STALE;
}

static enum core_result Read(const void *in, uint32_t in_size, uint32_t out_size) {
    const struct assay_read *read = in;

#ifdef PLANT_11 /* a short input is read past its end */
    if (in_size > sizeof *read)
#else
    if (in_size != sizeof *read)
#endif
        return CORE_INVALID;
    if (Version(read->version) != CORE_OK)
        return CORE_REVISION;
    if (read->resume > 1u)
        return CORE_INVALID;
    if (out_size < ASSAY_READ_LEAST)
        return CORE_TOO_SMALL;
    return out_size <= ASSAY_READ_MOST ? CORE_OK : CORE_TOO_BIG;
}

enum core_result core_request_check(const void *in, uint32_t in_size, uint32_t code, uint32_t out_size, uint64_t load) {
    switch (code) {
    case ASSAY_IOCTL_DESCRIBE:
        return out_size >= sizeof(struct assay_description) ? CORE_OK : CORE_TOO_SMALL;
    case ASSAY_IOCTL_READ:
        return Read(in, in_size, out_size);
    case ASSAY_IOCTL_FILTERS:
        return CORE_OK; /* core_filters_set looks at all of it, and counts what it refuses */
    case ASSAY_IOCTL_HEALTHY:
    case ASSAY_IOCTL_UNLOAD:
        return Order(in, in_size, load);
    default:
        return CORE_INVALID;
    }
}
