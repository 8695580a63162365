/*
 * What gets copies: TCP flows that are not loopback, datagrams whose port says that
 * they are of a name service, and no more in a second than a reader can take.
 */
#include "core.h"

#define TCP 6u
#define UDP 17u

static uint32_t HintOf(uint8_t protocol, uint16_t port) {
    switch (port) {
    case 53:
        return ASSAY_HINT_DNS;
    case 5353:
    case 5355:
        return protocol == UDP ? ASSAY_HINT_DNS : ASSAY_HINT_NONE;
    case 80:
    case 8080:
        return protocol == TCP ? ASSAY_HINT_HTTP : ASSAY_HINT_NONE;
    case 443:
    case 8443:
    case 853:
        return protocol == TCP ? ASSAY_HINT_TLS : ASSAY_HINT_NONE;
    default:
        return ASSAY_HINT_NONE;
    }
}

uint32_t core_payload_hint(uint8_t protocol, uint16_t local_port, uint16_t remote_port) {
    uint32_t hint = HintOf(protocol, remote_port);

    return hint != ASSAY_HINT_NONE ? hint : HintOf(protocol, local_port);
}

enum core_picked core_payload_select(struct core_payload_pick *pick, uint8_t protocol, uint16_t local_port, uint16_t remote_port,
                                     core_bool loopback, uint64_t interrupt_time) {
    uint64_t second = interrupt_time / 10000000u;

    if (loopback != 0 || (protocol != TCP && core_payload_hint(protocol, local_port, remote_port) != ASSAY_HINT_DNS))
        return CORE_PICK_NO;
    if (pick->second != second) {
        pick->second = second;
        pick->picked = 0;
    }
    if (pick->picked >= CORE_PAYLOAD_PER_SECOND)
#ifdef PLANT_21 /* one too many goes unsaid */
        return CORE_PICK_NO;
#else
        return CORE_PICK_LOST;
#endif
    pick->picked++;
    return CORE_PICK_YES;
}
