/* What a record costs in the core. bench [--quick]: the last line is for machines; nothing is judged by the clock. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../core/core.h"
#include "blob.h"

static struct core_rings rings;
static struct core_ring *const ring = &rings.ring[ASSAY_PROCESS];
static struct core_filters filters;
static struct blob blob;
static uint8_t memory[1u << 20], batch[ASSAY_READ_MOST];
static uint16_t image[260], command[260];
static uint32_t image_chars, command_chars, rounds = 2000000;

static double Clock(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}
static double Now(void) { return Clock(CLOCK_MONOTONIC); }
static double Spent(void) { return Clock(CLOCK_THREAD_CPUTIME_ID); } /* by this thread, whoever else runs */

/* As the driver does while a reader waits: each record looks at what is unread in all rings, to wake the reader. */
static core_bool Post(uint32_t i) {
    struct assay_process body = {.pid = i, .parent_pid = 4};
    struct core_event event = {.kind = ASSAY_PROCESS_CREATED, .pid = i, .body = &body,
                               .text = {{image, image_chars * 2u, 0}, {command, command_chars * 2u, 0}, {"sid-sid-sid-sid-sid-", 20, 0}}};
    _Alignas(8) uint8_t record[2048];
    core_bool posted;

    posted = core_filters_wants(&filters, event.kind) && core_record_encode(&event, record, sizeof record) != 0 && core_ring_post(ring, record);
    (void)core_rings_unread(&rings); /* whether the reader is to wake at once: that itself is the system's to do */
    return posted;
}

static void Drain(void) {
    uint32_t records = 0;

    while (core_ring_read(ring, batch, sizeof batch, &records) != 0)
        ;
    core_ring_ack(ring, ring->read_n);
}

static double Process(void) {
    double spent = 0;

    for (uint32_t i = 0; i < rounds; i += 1000u) {
        double start = Spent();

        for (uint32_t k = 0; k < 1000u; k++)
            if (!Post(k))
                abort();
        spent += Spent() - start;
        Drain();
    }
    return spent / rounds;
}

#define PATHS 64u
static uint16_t paths[PATHS][100];
static uint32_t path_chars[PATHS];

/* A folder that a filter may name: of a few parents, and of many names in them. */
static void Folder(char *out, size_t room, uint32_t n) {
    static const char *const parents[] = {"\\Windows\\Temp\\", "\\Users\\service\\AppData\\Local\\", "\\Program Files\\Vendor\\", "\\"};

    snprintf(out, room, "%s%c%04u\\", parents[n % 4u], 'a' + (int)(n / 4u % 26u), n * 7919u % 10000u);
}

/* A file event against so many filters: 64 paths by turns, so that no branch is learnt by heart. */
static double Files(uint32_t count, core_bool excluded) {
    struct core_ring *files = &rings.ring[ASSAY_FILE];
    char text[100];
    double start;

    BlobStart(&blob, 1, ~0ull);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, 1ull << ASSAY_FILE_WRITTEN);
    for (uint32_t i = 0; i < count; i++) {
        Folder(text, sizeof text, i);
        BlobEntry(&blob, text);
    }
    if (core_filters_set(&filters, blob.bytes, blob.size) != CORE_OK)
        abort();
    for (uint32_t i = 0; i < PATHS; i++) {
        Folder(text, sizeof text, count == 0 ? i : i * 31u % count);
        strcpy(strrchr(text, '\\'), excluded ? "\\objects\\intermediate\\unit_0042.obj" : "x\\objects\\unit_0042.obj");
        path_chars[i] = Wide(paths[i], text);
    }
    files->filtered = 0;
    start = Spent();
    for (uint32_t i = 0; i < rounds; i++)
        if (!core_filters_wants(&filters, ASSAY_FILE_WRITTEN) ||
            core_filters_match(&filters, ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, paths[i % PATHS], path_chars[i % PATHS] * 2u))
            core_ring_filter(files);
    start = Spent() - start;
    if (files->filtered != (excluded ? rounds : 0))
        abort();
    return start / rounds;
}

static uint32_t producing;
static uint64_t turned_away;

/* A record that finds no room is tried again once the reader has run: what is measured is records that get there. */
static void *Produce(void *unused) {
    for (uint32_t i = 0; i < rounds / 4u; i++)
        while (!Post(i)) {
            __atomic_fetch_add(&turned_away, 1u, __ATOMIC_RELAXED);
            sched_yield();
        }
    __atomic_fetch_sub(&producing, 1u, __ATOMIC_SEQ_CST);
    return unused;
}

/* So many producers and one reader, which acknowledges what it reads. */
static double Contended(uint32_t threads) {
    pthread_t thread[4];
    uint64_t expected = rounds / 4u * (uint64_t)threads;
    double start;

    core_ring_start(ring, ASSAY_PROCESS, memory, sizeof memory, 1, 1);
    producing = threads;
    turned_away = 0;
    start = Now();
    for (uint32_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, Produce, NULL) != 0)
            abort();
    while (__atomic_load_n(&producing, __ATOMIC_SEQ_CST) != 0) {
        if (core_ring_waiting(ring))
            Drain();
        else
            sched_yield();
    }
    Drain();
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    if (ring->delivered != expected || ring->lost != turned_away)
        abort();
    return (Now() - start) / (double)expected;
}

int main(int count, char **words) {
    static const uint32_t sizes[] = {0, 10, 100, 1000, 2000};
    double process, filtered = 0, contended[4];

    if (count > 2 || (count == 2 && strcmp(words[1], "--quick") != 0)) {
        fprintf(stderr, "bench [--quick]\n");
        return 2;
    }
    if (count == 2)
        rounds = 20000;
    image_chars = Wide(image, "\\Device\\HarddiskVolume3\\Windows\\System32\\cmd.exe");
    command_chars = Wide(command, "C:\\Windows\\System32\\cmd.exe /c \"net use \\\\server\\share /user:someone && copy *.* z:\\\"");
    for (uint32_t i = 0; i < ASSAY_CLASSES; i++) /* nothing is put into the others */
        core_ring_start(&rings.ring[i], i, memory, sizeof memory, 1, 1);
    core_filters_start(&filters);
    process = Process();
    printf("process record: %.0f ns, %.0f records/s on one core\n", process, 1e9 / process);
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double passed = Files(sizes[i], 0), excluded = sizes[i] == 0 ? 0 : Files(sizes[i], 1);

        if (sizes[i] == 1000)
            filtered = excluded;
        printf("file record against %4u filters: %.0f ns left out, %.0f ns passed on\n", sizes[i], excluded, passed);
    }
    for (uint32_t i = 0; i < 4; i++) {
        contended[i] = Contended(i + 1);
        printf("%u producers and a reader: %.0f ns a record, %.1f %% first found no room\n", i + 1, contended[i],
               100.0 * (double)turned_away / (double)(ring->delivered + turned_away));
    }
    printf("BENCH {\"ns_process\": %.1f, \"ns_file_filtered\": %.1f, \"records_per_s\": %.0f, \"contention\": [%.1f, %.1f, %.1f, %.1f]}\n", process,
           filtered, 1e9 / process, contended[0], contended[1], contended[2], contended[3]);
    return 0;
}
