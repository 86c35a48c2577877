/* hash.h - the one hash, of 64-bit words: the same on every processor. Not for deciding anything.
 */
#ifndef HASH_H
#define HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Hashes `count` words on top of `seed`. The words may be changed. */
static inline uint64_t hash_words(uint64_t seed, uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = htole64(words[i]);
    return XXH3_64bits_withSeed(words, count * sizeof *words, seed);
}

/* A state machine that has applied one entry more. */
static inline uint64_t hash_apply(uint64_t state, uint64_t term, uint64_t command) {
    uint64_t words[2] = {term, command};
    return hash_words(state, words, 2);
}

#endif
