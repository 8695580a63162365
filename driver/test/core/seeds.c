/*
 * What the fuzzer starts from: seeds GOLDEN DIR writes one file for each input. The first byte is the harness's place in fuzz.c.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"

enum { FILTERS, TREE, CHECK, ENCODE, RING, RINGS, REQUEST, DISK, GUARD, PAYLOAD };
static const char *folder;

static void Write(const char *name, uint8_t harness, const void *bytes, size_t size) {
    char path[600];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fputc(harness, file) == EOF || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* The golden vectors that are short: those cut at the maxima tell a check nothing more. */
static void Golden(const char *from) {
    DIR *open = opendir(from);
    const struct dirent *entry;

    while (open != NULL && (entry = readdir(open)) != NULL) {
        char path[600];
        uint8_t bytes[1024];
        size_t size;
        FILE *file;

        if (strstr(entry->d_name, ".minimal.bin") == NULL && strstr(entry->d_name, ".ordinary.bin") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", from, entry->d_name);
        file = fopen(path, "rb");
        size = file == NULL ? 0 : fread(bytes, 1, sizeof bytes, file);
        if (file == NULL || fclose(file) != 0 || size == 0 || size == sizeof bytes)
            exit(1);
        Write(entry->d_name, CHECK, bytes, size);
    }
    if (open == NULL || closedir(open) != 0)
        exit(1);
}

static void Filters(void) {
    static struct blob blob;

    BlobStart(&blob, 3, ~0ull);
    Write("filters.none", FILTERS, blob.bytes, blob.size);
    BlobStart(&blob, 4, 0); /* nothing is wanted, and so only what always is */
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, 1ull << ASSAY_FILE_WRITTEN);
    BlobEntry(&blob, "\\Temp\\");
    Write("filters.one", FILTERS, blob.bytes, blob.size);
    BlobSection(&blob, ASSAY_REGISTRY, ASSAY_MATCH_OWN, 1ull << ASSAY_KEY_SET);
    BlobEntry(&blob, "\\REGISTRY\\MACHINE\\a");
    BlobEntry(&blob, "\\REGISTRY\\MACHINE\\ab");
    BlobSection(&blob, ASSAY_PROCESS, ASSAY_MATCH_IMAGE, 1ull << ASSAY_PROCESS_CREATED);
    BlobEntry(&blob, "x");
    Write("filters.more", FILTERS, blob.bytes, blob.size);
}

static void Requests(void) {
    struct assay_request order = {.version = ASSAY_ABI_VERSION, .load = 1};
    struct assay_read read = {.version = ASSAY_ABI_VERSION, .load = 1};

    Write("request.order", REQUEST, &order, sizeof order);
    Write("request.read", REQUEST, &read, sizeof read);
}

int main(int count, char **words) {
    if (count != 3)
        return 2;
    folder = words[2];
    Golden(words[1]);
    Filters();
    Requests();
    Write("tree", TREE, "\x23" "abc\xA4" "abcd\x05xyzxyz", 16);
    Write("encode.process", ENCODE, "\x08\x00\x00\x09\x00\x00\x14\x00\x00\x09\x00\x01\x00\x00\x00\x00", 16);
    Write("encode.file", ENCODE, "\x21\x00\x00\x09\x00\x00\x14\x00\x00\x09\x00\x06\x00\x00\x01\x01", 16);
    Write("ring", RING, "\x25\x35\x45\x02\x0B\x00\x02\x13", 8);
    Write("rings", RINGS, "\x0C\x10\x14\x20\x02\x00\x00\xFF\x01\x03\x01\x01\x01\x01\x01\x01\x01\x01", 18);
    Write("disk", DISK, "\x08\x00\x00\x00    Vendor  \x00" "Product", 24);
    Write("path", DISK, "\\\0D\0e\0v\0i\0c\0e\0\\\0a\0\\\0b", 22);
    Write("guard", GUARD, "\x01\x07\x00\x70\x70\x70\x70\x70\x70\x01\x00\x01\x00", 13);
    Write("payload", PAYLOAD, "\x00\x01\x10\x20\x00\x00", 6);
    return 0;
}
