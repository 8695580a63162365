/* Requests, paths, disks, the boot guard and the choice of payloads. */
#include "fuzz.h"

void FuzzRequest(const uint8_t *data, uint32_t size) {
    static const uint32_t codes[] = {ASSAY_IOCTL_DESCRIBE, ASSAY_IOCTL_READ, ASSAY_IOCTL_FILTERS, ASSAY_IOCTL_HEALTHY, ASSAY_IOCTL_UNLOAD, 0};
    const uint32_t room = size == 0 ? 0 : data[size - 1u] * 2048u;

    for (uint32_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        enum core_result result = core_request_check(data, size, codes[i], room, 1);
        struct assay_read read;

        if (result != CORE_OK)
            continue;
        MUST(codes[i] != 0);
        if (codes[i] == ASSAY_IOCTL_READ) {
            MUST(size == sizeof read && room >= ASSAY_READ_LEAST && room <= ASSAY_READ_MOST);
            memcpy(&read, data, sizeof read);
            MUST(read.version == ASSAY_ABI_VERSION && read.resume <= 1);
        }
        if (codes[i] == ASSAY_IOCTL_HEALTHY || codes[i] == ASSAY_IOCTL_UNLOAD) {
            struct assay_request request;

            MUST(size == sizeof request);
            memcpy(&request, data, sizeof request);
            MUST(request.version == ASSAY_ABI_VERSION && request.reserved == 0 && request.load == 1);
        }
    }
}

void FuzzDisk(const uint8_t *data, uint32_t size) {
    uint32_t offset, chars;
    uint16_t text[128];

    MUST(core_path_volume((const uint16_t *)(const void *)data, size / 2u) <= size / 2u);
    if (size < 4)
        return;
    memcpy(&offset, data, sizeof offset);
    for (uint32_t i = 0; i < 2; i++, offset %= size + 8u) { /* as it came, and near the answer's end */
        chars = core_disk_text(data, size, offset, text, 128);
        MUST(chars <= 128 && (chars == 0 || (text[0] != ' ' && text[chars - 1u] != ' ')));
        MUST(chars == 0 || (offset != 0 && chars <= size - offset));
    }
}

/* Boots: each starts, is told at times that it is healthy, and ends. Three without five healthy minutes are passive. */
void FuzzGuard(const uint8_t *data, uint32_t size) {
    const uint64_t minute = 60ull * 10000000u;
    struct choices from = {data, size, 0};
    uint32_t stored = 0, failed = 0;

    while (Left(&from)) {
        struct core_guard guard;
        uint32_t readable = Byte(&from) % 8u != 0, words = Byte(&from) % 16u;
        uint64_t now = minute, since = now, before = now;
        core_bool cleared = 0;

        stored = core_guard_start(&guard, readable, stored);
        MUST(guard.why == (!readable ? ASSAY_WHY_GUARD_UNREADABLE : failed + 1u >= 3u ? ASSAY_WHY_STARTS : ASSAY_WHY_NONE));
        failed++;
        for (uint32_t i = 0; i < words; i++) {
            core_bool clear;

            now += Byte(&from) * minute / 128u;
            if (i == 0 || now - before > minute)
                since = now;
            before = now;
            clear = core_guard_healthy(&guard, now);
            MUST(clear == (!cleared && now - since >= 5u * minute)); /* once */
            cleared |= clear;
        }
        if (cleared)
            stored = failed = 0;
    }
}

static core_bool Name(uint16_t port) { return port == 53 || port == 5353 || port == 5355; }

/* Flows and datagrams, many at a time: 2000 a second get copies, and each one more is counted. */
void FuzzPayload(const uint8_t *data, uint32_t size) {
    static const uint16_t ports[] = {53, 5353, 5355, 80, 443, 853, 9000, 0};
    struct core_payload_pick pick = {0, 0};
    struct choices from = {data, size, 0};
    uint64_t now = 0;
    uint32_t picked = 0;

    for (uint32_t round = 0; Left(&from) && round < 64; round++) {
        uint32_t how = Byte(&from), times = 1u + Byte(&from) * 8u;
        uint8_t protocol = (how & 1u) != 0 ? 17 : 6;
        uint16_t local = ports[how >> 1 & 7u], remote = ports[how >> 4 & 7u];
        core_bool loopback = how >> 7 & 1u, asked;

        if (times % 16u == 1) {
            now += 10000000u;
            picked = 0;
        }
        asked = !loopback && (protocol == 6 || Name(local) || Name(remote));
        for (; times > 0; times--) {
            enum core_picked got = core_payload_select(&pick, protocol, local, remote, loopback, now);

            MUST(got == (!asked ? CORE_PICK_NO : picked < 2000u ? CORE_PICK_YES : CORE_PICK_LOST));
            picked += got == CORE_PICK_YES;
        }
    }
}
