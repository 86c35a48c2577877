/* store.h - a file that is there as a whole, or as it was before.
 *
 *     store_begin --> a temporary file beside the target; its bytes are written to `fd`
 *     store_commit --> synced, renamed to the target, the directory synced
 *
 * Until the rename nothing has happened to what stood at the path. Only a regular file is replaced,
 * and only one that may be written. */
#ifndef STORE_H
#define STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct store {
    int fd;
    char path[PATH_MAX], temporary[PATH_MAX];
};

struct store_error {
    char text[320]; /* "PATH: what is wrong" */
};

/* On an error nothing is left behind. */
bool store_begin(struct store *s, const char *path, struct store_error *error);
bool store_commit(struct store *s, struct store_error *error);
/* Instead of store_commit; `why` is an errno. */
void store_abandon(struct store *s, int why, struct store_error *error);

/* Can files be written in the directory, or, where there is none, can it be made? Leaves nothing.
 */
bool store_probe(const char *directory, struct store_error *error);

#endif
