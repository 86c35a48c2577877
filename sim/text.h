/* text.h - a string that is built piece by piece in memory of a fixed size. What does not fit is
 * cut off, and the text says so. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *out; /* Borrowed; always ends with a 0. */
    size_t size, length;
    bool is_cut; /* A piece did not fit; nothing is added any more. */
};

/* REQUIRES: size >= 1. */
struct text text_begin(char *out, size_t size);

__attribute__((format(printf, 2, 3))) void text_add(struct text *t, const char *format, ...);

/* The word as one word for a POSIX shell: quoted where it has to be. */
void text_add_quoted(struct text *t, const char *word);

/* The word as a part of a file name: letters, digits, '_', '-' and '.' stay, any other byte becomes
 * '_', and so does a first '-' or '.'; at most `max` bytes. */
void text_add_file_name(struct text *t, const char *word, size_t max);

#endif
