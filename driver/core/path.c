/*
 * Paths as the kernel has them: UTF-16 of a known length, without a terminator.
 * Case: A-Z and the Latin-1 letters U+00E0..U+00FE fold; all else compares as it is,
 * so that a doubtful prefix does not match, and the event is recorded.
 */
#include "core.h"

core_bool core_prefix(const uint16_t *text, uint32_t chars, const uint16_t *prefix, uint32_t prefix_chars) {
    uint32_t i;

#ifndef PLANT_9 /* reads beyond the text */
    if (prefix_chars > chars)
        return 0;
#else
    (void)chars;
#endif
    for (i = 0; i < prefix_chars; i++)
        if (core_upper(text[i]) != core_upper(prefix[i]))
            return 0;
    return 1;
}

static const uint16_t device[] = {'\\', 'D', 'e', 'v', 'i', 'c', 'e', '\\'};
static const uint16_t redirector[] = {'\\', 'D', 'e', 'v', 'i', 'c', 'e', '\\', 'M', 'u', 'p'};
static const uint16_t dos[] = {'\\', '?', '?', '\\'};
static const uint16_t root[] = {'\\', 'S', 'y', 's', 't', 'e', 'm', 'R', 'o', 'o', 't', '\\'};
#define CHARS(text) ((uint32_t)(sizeof(text) / sizeof((text)[0])))

/* Where the next backslash from `at` stands, or the end. */
static uint32_t Next(const uint16_t *path, uint32_t chars, uint32_t at) {
    while (at < chars && path[at] != '\\')
        at++;
    return at;
}

uint32_t core_path_volume(const uint16_t *path, uint32_t chars) {
    uint32_t end = 0;

    if (core_prefix(path, chars, redirector, CHARS(redirector)) && (chars == CHARS(redirector) || path[CHARS(redirector)] == '\\'))
        return CHARS(redirector); /* a server's share is part of the path */
    if (core_prefix(path, chars, device, CHARS(device)))
        end = Next(path, chars, CHARS(device));
    else if (core_prefix(path, chars, dos, CHARS(dos)))
        end = Next(path, chars, CHARS(dos));
    else if (core_prefix(path, chars, root, CHARS(root)))
        return CHARS(root) - 1u;
    return end > CHARS(device) || (end > CHARS(dos) && path[1] == '?') ? end : 0;
}
