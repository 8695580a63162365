/*
 * Writes the golden vectors: for every kind an ordinary record, one in which nothing
 * could be had, one whose texts are cut, and the longest; and an index of the value
 * of every field, which the reader's decoder must find. golden DIRECTORY
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/core.h"

enum sort { FIELD_UNSIGNED, FIELD_SIGNED, FIELD_BYTES, FIELD_REF };
struct field {
    const char *structure, *name;
    size_t at, bytes;
    enum sort sort;
};
static const struct field fields[] = {
#include "fields.inc"
};
#define FIELDS (sizeof fields / sizeof fields[0])

static const struct {
    uint32_t kind;
    const char *name, *structure;
} kinds[] = {
    {ASSAY_STARTED, "started", "assay_started"},
    {ASSAY_TAMPER, "tamper", "assay_tamper"},
    {ASSAY_GAP, "gap", "assay_gap"},
    {ASSAY_VOLUME_ARRIVED, "volume_arrived", "assay_volume"},
    {ASSAY_VOLUME_LEFT, "volume_left", "assay_volume"},
    {ASSAY_PROCESS_CREATED, "process_created", "assay_process"},
    {ASSAY_PROCESS_EXITED, "process_exited", "assay_exit"},
    {ASSAY_PROCESS_FOUND, "process_found", "assay_process"},
    {ASSAY_IMAGE_LOADED, "image_loaded", "assay_image"},
    {ASSAY_THREAD_REMOTE, "thread_remote", "assay_thread"},
    {ASSAY_PROCESS_OPENED, "process_opened", "assay_open"},
    {ASSAY_KEY_SET, "key_set", "assay_key"},
    {ASSAY_KEY_VALUE_DELETED, "key_value_deleted", "assay_key"},
    {ASSAY_KEY_DELETED, "key_deleted", "assay_key"},
    {ASSAY_KEY_CREATED, "key_created", "assay_key"},
    {ASSAY_KEY_RENAMED, "key_renamed", "assay_key"},
    {ASSAY_FILE_CREATED, "file_created", "assay_file"},
    {ASSAY_FILE_WRITTEN, "file_written", "assay_file"},
    {ASSAY_FILE_RENAMED, "file_renamed", "assay_file"},
    {ASSAY_FILE_DELETED, "file_deleted", "assay_file"},
    {ASSAY_FILE_LINKED, "file_linked", "assay_file"},
    {ASSAY_FILE_TIMES_SET, "file_times_set", "assay_file"},
    {ASSAY_FILE_STREAM_CREATED, "file_stream_created", "assay_file"},
    {ASSAY_FILE_MAPPED, "file_mapped", "assay_file"},
    {ASSAY_FLOW_CONNECTED, "flow_connected", "assay_flow"},
    {ASSAY_FLOW_ACCEPTED, "flow_accepted", "assay_flow"},
    {ASSAY_FLOW_LISTENING, "flow_listening", "assay_flow"},
    {ASSAY_FLOW_REFUSED, "flow_refused", "assay_flow"},
    {ASSAY_FLOW_ENDED, "flow_ended", "assay_flow"},
    {ASSAY_PAYLOAD_COPIED, "payload_copied", "assay_payload"},
};
static const char *const variants[] = {"ordinary", "minimal", "truncated", "maximum"};
enum { ORDINARY, MINIMAL, TRUNCATED, MAXIMUM };

static void Fill(uint8_t *body, const char *structure, uint32_t kind, int variant) {
    uint32_t seed = kind * 16777619u;

    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];

        if (strcmp(field->structure, structure) != 0 || field->sort == FIELD_REF)
            continue;
        for (size_t k = 0; k < field->bytes; k++) {
            seed = seed * 1664525u + 1013904223u;
            body[field->at + k] = variant == MINIMAL ? 0 : variant == MAXIMUM ? 0xFF : (uint8_t)(seed >> 24);
        }
    }
}

static void Texts(struct core_event *event, uint8_t *room, int variant) {
    const struct core_shape *shape = core_shape_of(event->kind);

    for (uint32_t i = 0; i < shape->refs; i++) {
        uint8_t *text = room + i * 65536u;
        uint32_t size = variant == ORDINARY ? 24u + 2u * i : variant == MAXIMUM ? shape->most[i] : 65535u;

        for (uint32_t k = 0; k < size; k++) /* letters of Greek as well, and in truth any unit */
            text[k] = k % 2u == 0 ? (uint8_t)('a' + (k / 2u + i) % 26u) : k % 10u == 9u ? 0x03u : 0;
        event->text[i] = (struct core_text){variant == MINIMAL ? NULL : text, variant == MINIMAL ? 0 : size, 0};
    }
}

static void Hex(FILE *out, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
}

static void Ref(FILE *out, const uint8_t *record, const uint8_t *at) {
    uint64_t hash = 14695981039346656037u;
    struct assay_ref ref;

    memcpy(&ref, at, sizeof ref);
    for (uint32_t i = 0; i < ref.size; i++)
        hash = (hash ^ record[ref.offset + i]) * 1099511628211u;
    fprintf(out, "{\"offset\": %u, \"size\": %u, \"whole\": %u, \"flags\": %u, \"fnv1a64\": \"%016llx\"", ref.offset, ref.size, ref.whole, ref.flags,
            (unsigned long long)hash);
    if (ref.size <= 256u) {
        fprintf(out, ", \"hex\": \"");
        Hex(out, record + ref.offset, ref.size);
        fprintf(out, "\"");
    }
    fprintf(out, "}");
}

static void Fields(FILE *out, const uint8_t *record, const uint8_t *at, const char *structure) {
    const char *comma = "";

    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        uint64_t value = 0;

        if (strcmp(field->structure, structure) != 0)
            continue;
        fprintf(out, "%s\"%s\": ", comma, field->name);
        comma = ", ";
        if (field->sort == FIELD_REF) {
            Ref(out, record, at + field->at);
        } else if (field->sort == FIELD_BYTES) {
            fprintf(out, "\"");
            Hex(out, at + field->at, field->bytes);
            fprintf(out, "\"");
        } else {
            memcpy(&value, at + field->at, field->bytes);
            if (field->sort == FIELD_SIGNED) /* all are of 32 bits */
                fprintf(out, "%d", (int32_t)(uint32_t)value);
            else
                fprintf(out, "%llu", (unsigned long long)value);
        }
    }
}

static void Must(int held, const char *what) {
    if (!held) {
        fprintf(stderr, "golden: %s\n", what);
        exit(1);
    }
}

static void Write(const char *directory, const char *name, const void *record, uint32_t size) {
    char path[4096];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    out = fopen(path, "wb");
    Must(out != NULL && fwrite(record, 1, size, out) == size && fclose(out) == 0, path);
}

int main(int count, char **words) {
    static _Alignas(8) uint8_t record[ASSAY_RECORD_MOST], body[256], room[CORE_REFS * 65536u], memory[ASSAY_RECORD_MOST];
    static struct core_ring ring;
    char name[128], path[4096];
    const char *comma = "\n";
    FILE *index;

    Must(count == 2, "golden DIRECTORY");
    snprintf(path, sizeof path, "%s/index.json", words[1]);
    index = fopen(path, "w");
    Must(index != NULL, path);
    fprintf(index, "{\"abi_version\": %u, \"records\": [", ASSAY_ABI_VERSION);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int v = ORDINARY; v <= MAXIMUM; v++) {
            struct core_event event = {.kind = kinds[i].kind, .pid = 4242, .tid = 17, .pid_created = 134000000000000000u,
                                       .system_time = 134088000000000000u + i, .interrupt_time = 7200000000u + i, .body = body};
            uint32_t size;

            if (v == TRUNCATED && core_shape_of(event.kind)->refs == 0)
                continue; /* there is nothing to cut */
            Fill(body, kinds[i].structure, event.kind, v);
            Texts(&event, room, v);
            size = core_record_encode(&event, record, sizeof record);
            core_ring_start(&ring, core_shape_of(event.kind)->class, memory, sizeof memory, 134087000000000000u, 134087000100000000u);
            Must(size != 0 && core_ring_post(&ring, record) && core_record_check(record, size) == CORE_OK, kinds[i].name);
            snprintf(name, sizeof name, "%s.%s.bin", kinds[i].name, variants[v]);
            Write(words[1], name, record, size);
            fprintf(index, "%s{\"file\": \"%s\", \"kind_name\": \"%s\", \"variant\": \"%s\", \"structure\": \"%s\",\n \"header\": {", comma, name,
                    kinds[i].name, variants[v], kinds[i].structure);
            Fields(index, record, record, "assay_header");
            fprintf(index, "},\n \"body\": {");
            Fields(index, record, record + sizeof(struct assay_header), kinds[i].structure);
            fprintf(index, "}}");
            comma = ",\n";
        }
    fprintf(index, "\n]}\n");
    Must(fclose(index) == 0, path);
    return 0;
}
