/* What a record costs in the core. bench [--quick]: the last line is for machines; nothing is judged by the clock. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../core/core.h"
#include "blob.h"

static struct core_ring ring;
static struct core_filters filters;
static struct blob blob;
static uint8_t memory[1u << 20], batch[ASSAY_READ_MOST];
static uint16_t image[260], command[260], path[260];
static uint32_t image_chars, command_chars, path_chars, rounds = 2000000;

static double Now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static core_bool Post(uint32_t i) {
    struct assay_process body = {.pid = i, .parent_pid = 4};
    struct core_event event = {.kind = ASSAY_PROCESS_CREATED, .pid = i, .body = &body,
                               .text = {{image, image_chars * 2u}, {command, command_chars * 2u}, {"sid-sid-sid-sid-sid-", 20}}};
    _Alignas(8) uint8_t record[2048];

    return core_filters_wants(&filters, event.kind) && core_record_encode(&event, record, sizeof record) != 0 && core_ring_post(&ring, record);
}

static void Drain(void) {
    uint32_t records = 0;

    while (core_ring_read(&ring, batch, sizeof batch, &records) != 0)
        ;
    core_ring_ack(&ring, ring.read_n);
}

static double Process(void) {
    double spent = 0;

    for (uint32_t i = 0; i < rounds; i += 1000u) {
        double start = Now();

        for (uint32_t k = 0; k < 1000u; k++)
            if (!Post(k))
                abort();
        spent += Now() - start;
        Drain();
    }
    return spent / rounds;
}

static double Filtered(uint32_t count) {
    double start;

    BlobStart(&blob, 1, ~0ull);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, 1ull << ASSAY_FILE_WRITTEN);
    for (uint32_t i = 0; i < count; i++) {
        char text[80];

        snprintf(text, sizeof text, "\\Windows\\Temp\\folder%04u\\", i * 7919u % 10000u);
        BlobEntry(&blob, i == count / 2 ? "\\Windows\\Temp\\build\\" : text);
    }
    if (core_filters_set(&filters, blob.bytes, blob.size) != CORE_OK)
        abort();
    start = Now();
    for (uint32_t i = 0; i < rounds; i++)
        if (core_filters_wants(&filters, ASSAY_FILE_WRITTEN) &&
            core_filters_match(&filters, ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, path, path_chars * 2u) == (count == 0))
            abort();
    return (Now() - start) / rounds;
}

static void *Produce(void *unused) {
    for (uint32_t i = 0; i < rounds / 4u; i++)
        Post(i);
    return unused;
}

static double Contended(uint32_t threads) { /* a full ring burns n: what producers do to each other, without a reader */
    pthread_t thread[4];
    double start = Now();

    for (uint32_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, Produce, NULL) != 0)
            abort();
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return (Now() - start) / (rounds / 4u * threads);
}

int main(int count, char **words) {
    static const uint32_t sizes[] = {0, 10, 100, 1000};
    double process, filtered = 0, contended[4];

    if (count > 2 || (count == 2 && strcmp(words[1], "--quick") != 0)) {
        fprintf(stderr, "bench [--quick]\n");
        return 2;
    }
    if (count == 2)
        rounds = 20000;
    image_chars = Wide(image, "\\Device\\HarddiskVolume3\\Windows\\System32\\cmd.exe");
    command_chars = Wide(command, "C:\\Windows\\System32\\cmd.exe /c \"net use \\\\server\\share /user:someone && copy *.* z:\\\"");
    path_chars = Wide(path, "\\Windows\\Temp\\build\\objects\\intermediate\\unit_0042.obj");
    core_ring_start(&ring, ASSAY_PROCESS, memory, sizeof memory, 1, 1);
    core_filters_start(&filters);
    process = Process();
    printf("process record: %.0f ns\n", process);
    for (uint32_t i = 0; i < 4; i++) {
        filtered = Filtered(sizes[i]);
        printf("file record against %4u filters: %.0f ns\n", sizes[i], filtered);
    }
    for (uint32_t i = 0; i < 4; i++) {
        contended[i] = Contended(i + 1);
        printf("%u producers: %.0f ns each\n", i + 1, contended[i]);
    }
    printf("BENCH {\"ns_process\": %.1f, \"ns_file_filtered\": %.1f, \"records_per_s\": %.0f, \"contention\": [%.1f, %.1f, %.1f, %.1f]}\n", process,
           filtered, 1e9 / process, contended[0], contended[1], contended[2], contended[3]);
    return 0;
}
