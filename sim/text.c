/* text.c - bounded building of strings. */
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char file_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
/* Those that mean nothing to a shell. */
static const char shell_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%";

struct text text_begin(char *out, size_t size) {
    assert(size >= 1);
    out[0] = 0;
    return (struct text){.out = out, .size = size};
}

void text_add(struct text *t, const char *format, ...) {
    if (t->is_cut) return;
    size_t room = t->size - t->length;
    va_list args;
    va_start(args, format);
    int count = vsnprintf(t->out + t->length, room, format, args);
    va_end(args);
    assert(count >= 0);
    t->is_cut = (size_t)count >= room;
    t->length = t->is_cut ? t->size - 1 : t->length + (size_t)count;
}

void text_add_quoted(struct text *t, const char *word) {
    if (*word != 0 && word[strspn(word, shell_letters)] == 0) {
        text_add(t, "%s", word);
        return;
    }
    text_add(t, "'");
    for (; *word != 0; word++)
        if (*word == '\'') text_add(t, "'\\''");
        else text_add(t, "%c", *word);
    text_add(t, "'");
}

void text_add_file_name(struct text *t, const char *word, size_t max) {
    for (size_t i = 0; word[i] != 0 && i < max; i++) {
        bool is_first = i == 0 && (*word == '-' || *word == '.');
        bool is_safe = strchr(file_letters, word[i]) != NULL && !is_first;
        text_add(t, "%c", is_safe ? word[i] : '_');
    }
}
