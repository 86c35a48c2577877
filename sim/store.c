/* store.c - writes a file beside its target, and renames it when all of it is durable. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

static bool fail(struct store_error *error, const char *path, const char *what) {
    struct text t = text_begin(error->text, sizeof error->text);
    text_add(&t, "%s: %s", path, what);
    return false;
}

/* NULL, or why what stands at the path may not be replaced. */
static const char *target_problem(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) return errno == ENOENT ? NULL : strerror(errno);
    if (S_ISDIR(status.st_mode)) return "it is a directory";
    if (!S_ISREG(status.st_mode)) return "it is no regular file";
    return access(path, W_OK) == 0 ? NULL : strerror(errno);
}

/* Another process, even one of another machine with the same id, may have a file of that name. */
static bool open_temporary(struct store *s) {
    enum { TRIES_MAX = 100 };
    for (int i = 0; i < TRIES_MAX; i++) {
        struct text t = text_begin(s->temporary, sizeof s->temporary);
        text_add(&t, "%s.%ld-%d.tmp", s->path, (long)getpid(), i);
        errno = ENAMETOOLONG;
        if (t.is_cut) return false;
        s->fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (s->fd >= 0) return true;
        if (errno != EEXIST) return false;
    }
    return false;
}

bool store_begin(struct store *s, const char *path, struct store_error *error) {
    struct text t = text_begin(s->path, sizeof s->path);
    text_add(&t, "%s", path);
    if (t.is_cut) return fail(error, path, strerror(ENAMETOOLONG));
    const char *problem = target_problem(path);
    if (problem != NULL) return fail(error, path, problem);
    return open_temporary(s) || fail(error, path, strerror(errno));
}

/* The new name of a file is durable when its directory is. Some file systems cannot tell. */
static void sync_directory(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct text t = text_begin(directory, sizeof directory);
    text_add(&t, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1, slash == NULL ? "." : path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

void store_abandon(struct store *s, int why, struct store_error *error) {
    if (s->fd >= 0) close(s->fd);
    unlink(s->temporary);
    fail(error, s->path, why != 0 ? strerror(why) : "cannot be written");
}

bool store_commit(struct store *s, struct store_error *error) {
    bool is_synced = fsync(s->fd) == 0;
    int why = errno;
    bool is_closed = close(s->fd) == 0;
    if (is_synced && !is_closed) why = errno;
    s->fd = -1;
    bool is_good = is_synced && is_closed && rename(s->temporary, s->path) == 0;
    if (!is_good) {
        store_abandon(s, is_synced && is_closed ? errno : why, error);
        return false;
    }
    sync_directory(s->path);
    return true;
}

/* Where the directory is missing, a process that can write a file beside it can make it. */
bool store_probe(const char *directory, struct store_error *error) {
    struct store s;
    struct stat status;
    bool is_there = stat(directory, &status) == 0;
    if (!is_there && errno != ENOENT) return fail(error, directory, strerror(errno));
    if (is_there && !S_ISDIR(status.st_mode)) return fail(error, directory, "it is no directory");
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/') length--;
    struct text t = text_begin(s.path, sizeof s.path);
    text_add(&t, "%.*s%s", (int)length, directory, is_there ? "/probe" : "");
    if (!open_temporary(&s)) return fail(error, directory, strerror(errno));
    bool is_written = write(s.fd, "\n", 1) == 1 && fsync(s.fd) == 0;
    store_abandon(&s, is_written ? 0 : errno, error);
    return is_written;
}
