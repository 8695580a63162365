/* Plays what the network does: flows, payloads and names. */
#include "scenario.h"

struct double_command *Flow(enum double_op op, uint64_t flow, uint16_t local, uint16_t remote, uint32_t flags) {
    static const uint8_t addresses[32] = {10, 0, 0, 1, [16] = 93, 184, 216, 34};
    struct double_command *c = Command(op, NULL, NULL);

    c->a[0] = flow;
    c->a[1] = flow + 0x1000;
    c->a[2] = 6;
    c->a[3] = local;
    c->a[4] = remote;
    c->flags = flags;
    c->irql = 2;
    memcpy(c->data, addresses, sizeof addresses);
    c->bytes = sizeof addresses;
    return c;
}

static void Stream(uint64_t flow, uint32_t flags, unsigned bytes) {
    static const char request[] = "GET /x HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: ua\r\n\r\n";
    struct double_command *c = Flow(OP_STREAM, flow, 0, 0, flags);

    memset(c->data, (int)flow, bytes);
    if ((flags & FLOW_INBOUND) == 0)
        memcpy(c->data, request, sizeof request - 1);
    c->bytes = bytes;
    CHECK(Play(c));
}

/* Connections in both directions, one refused, one that ends, and what is sent over it: 6 records of flows and 3 of payload. */
void ActFlows(void) {
    uint64_t held = Status(STATUS_CONTEXTS); /* the driver's thread */
    struct double_command *c;

    CHECK(Play(Flow(OP_CONNECT, 1, 50000, 443, 0)));
    c = Flow(OP_CONNECT, 1, 50000, 443, 0); /* asked again: no second record */
    c->a[5] = 4;
    CHECK(Play(c));
    CHECK(Play(Flow(OP_ESTABLISHED, 1, 50000, 443, 0)));
    Stream(1, 0, 1500);
    Stream(1, 0, 1500); /* 548 of it */
    Stream(1, 0, 1500); /* nothing more */
    Stream(1, FLOW_INBOUND, 4000); /* 2048 of it, and the context goes */
    EQUAL(Status(STATUS_CONTEXTS), held);
    CHECK(Play(Flow(OP_CLOSURE, 1, 50000, 443, 0)));
    CHECK(Play(Flow(OP_LISTEN, 2, 8080, 0, 0)));
    CHECK(Play(Flow(OP_ACCEPT, 3, 8080, 60000, FLOW_INBOUND)));
    CHECK(Play(Flow(OP_CONNECT, 4, 50001, 25, FLOW_REFUSED)));
    CHECK(Play(Flow(OP_CONNECT, 5, 50002, 443, FLOW_V6)));
}

void Flows(void) {
    const struct assay_header *h;
    struct reader r;

    ReaderStart(&r, true, false);
    ActFlows();
    EQUAL(ReaderRead(&r, 10), 10);
    EQUAL(ReaderCount(&r, ASSAY_FLOW_CONNECTED), 2);
    h = ReaderFind(&r, ASSAY_FLOW_CONNECTED, 0);
    EQUAL(BODY(assay_flow, h)->remote[0], 93);
    EQUAL(BODY(assay_flow, h)->remote_port, 443);
    EQUAL(BODY(assay_flow, h)->family, 4);
    EQUAL(BODY(assay_flow, ReaderFind(&r, ASSAY_FLOW_CONNECTED, 1))->family, 6);
    EQUAL(ReaderCount(&r, ASSAY_PAYLOAD_COPIED), 3);
    EQUAL(BODY(assay_payload, ReaderFind(&r, ASSAY_PAYLOAD_COPIED, 0))->data.size, 1500);
    EQUAL(BODY(assay_payload, ReaderFind(&r, ASSAY_PAYLOAD_COPIED, 1))->data.size, 548);
    EQUAL(BODY(assay_payload, ReaderFind(&r, ASSAY_PAYLOAD_COPIED, 1))->offset, 1500);
    EQUAL(BODY(assay_payload, ReaderFind(&r, ASSAY_PAYLOAD_COPIED, 2))->data.size, 2048);
    EQUAL(BODY(assay_payload, ReaderFind(&r, ASSAY_PAYLOAD_COPIED, 2))->inbound, 1);
    EQUAL(ReaderCount(&r, ASSAY_FLOW_ENDED), 1);
    EQUAL(ReaderCount(&r, ASSAY_FLOW_LISTENING), 1);
    EQUAL(ReaderCount(&r, ASSAY_FLOW_ACCEPTED), 1);
    EQUAL(BODY(assay_flow, ReaderFind(&r, ASSAY_FLOW_REFUSED, 0))->refused, ASSAY_FLOW_CONNECTED);
    ReaderEnd(&r);
}

/*
 * The driver leaves while one flow's context goes late, and while another flow gets
 * its context only once the driver has taken back what it had: it waits for both.
 */
void FlowsLeaving(void) {
    struct double_command *c;

    CHECK(Play(Flow(OP_ESTABLISHED, 1, 50000, 443, 0)));
    c = Command(OP_LATE, NULL, NULL);
    c->a[0] = 3;
    CHECK(Play(c));
    c = Flow(OP_ESTABLISHED, 2, 50001, 443, 0);
    c->flags = COMMAND_THREADS;
    c->a[7] = 1;
    CHECK(Play(c));
    while (Status(STATUS_HELD) == 0)
        SwitchToThread();
}

/* What is not let in, and who is not let listen, in both families: 4 records of flows. */
void ActRefusals(void) {
    CHECK(Play(Flow(OP_ACCEPT, 6, 8080, 60001, FLOW_INBOUND | FLOW_REFUSED)));
    CHECK(Play(Flow(OP_LISTEN, 7, 8081, 0, FLOW_REFUSED)));
    CHECK(Play(Flow(OP_ACCEPT, 8, 8080, 60002, FLOW_INBOUND | FLOW_REFUSED | FLOW_V6)));
    CHECK(Play(Flow(OP_LISTEN, 9, 8082, 0, FLOW_REFUSED | FLOW_V6)));
}

void Refusals(void) {
    struct reader r;

    ReaderStart(&r, true, false);
    ActRefusals();
    EQUAL(ReaderRead(&r, 5), 5);
    for (unsigned i = 0; i < 4; i++) {
        const struct assay_flow *f = BODY(assay_flow, ReaderFind(&r, ASSAY_FLOW_REFUSED, i));
        bool accept = i % 2 == 0;

        EQUAL(f->refused, accept ? ASSAY_FLOW_ACCEPTED : ASSAY_FLOW_LISTENING);
        EQUAL(f->local_port, accept ? 8080 : i == 1 ? 8081 : 8082);
        EQUAL(f->remote_port, accept ? 60001 + i / 2 : 0);
        EQUAL(f->remote[0], accept ? 93 : 0);
        EQUAL(f->family, i < 2 ? 4 : 6);
        EQUAL(f->inbound, 1);
        EQUAL(f->flow, 0);
    }
    ReaderEnd(&r);
}

/* Datagrams of names, and one that is of none. */
static const struct datagram {
    uint16_t local, remote;
    uint32_t flags;
    const char *data;
    unsigned bytes;
} datagrams[] = {
#define DATAGRAM(text) text, sizeof text - 1
    {50000, 53, 0, DATAGRAM("\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1")},
    {50000, 53, FLOW_INBOUND, DATAGRAM("\x12\x34\x81\x80\0\1\0\1\0\0\0\0\3www\7example\3com\0\0\1\0\1\xC0\x0C\0\1\0\1\0\0\0\x3C\0\4\x5D\xB8\xD8\x22")},
    {5353, 5353, FLOW_INBOUND, DATAGRAM("\0\0\x84\0\0\0\0\1\0\0\0\0\7printer\5local\0\0\1\0\1\0\0\0\x3C\0\4\xC0\0\2\7")},
    {50000, 123, 0, DATAGRAM("\x23 what is the time")},
};

/* A question and its answer, an answer to all, and the time, which is no name: 3 records of payload. */
void ActNames(void) {
    for (unsigned i = 0; i < 4; i++) {
        struct double_command *c = Flow(OP_DATAGRAM, 9, datagrams[i].local, datagrams[i].remote, datagrams[i].flags);

        c->a[2] = 17;
        c->a[6] = i & 1; /* in one piece and in several */
        memcpy(c->data + 32, datagrams[i].data, datagrams[i].bytes);
        c->bytes = 32 + datagrams[i].bytes;
        CHECK(Play(c));
    }
}

void Names(void) {
    struct reader r;

    ReaderStart(&r, true, false);
    ActNames();
    EQUAL(ReaderRead(&r, 4), 4);
    EQUAL(ReaderCount(&r, ASSAY_PAYLOAD_COPIED), 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct assay_header *h = ReaderFind(&r, ASSAY_PAYLOAD_COPIED, i);

        EQUAL(BODY(assay_payload, h)->data.size, datagrams[i].bytes);
        EQUAL(BODY(assay_payload, h)->hint, ASSAY_HINT_DNS);
        CHECK(memcmp((const uint8_t *)h + BODY(assay_payload, h)->data.offset, datagrams[i].data, datagrams[i].bytes) == 0);
    }
    ReaderEnd(&r);
}
