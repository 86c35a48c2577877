/* run_files.c - a fuzz target as a plain program: runs it once over each file, so that it never
 * rots and that its corpus is a test. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20 };

/* Only libFuzzer mutates; the target's mutator refers to it all the same. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max) {
    (void)data;
    (void)size_max;
    return size;
}

static int run_file(const char *path) {
    static uint8_t input[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 5;
    }
    size_t size = fread(input, 1, sizeof input, file);
    int has_failed = ferror(file);
    fclose(file);
    if (has_failed) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 5;
    }
    LLVMFuzzerTestOneInput(input, size);
    return 0;
}

int main(int argc, char **argv) {
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        int code = run_file(argv[i]);
        if (code != 0) return code;
    }
    printf("%d inputs ran\n", argc - 1);
    return 0;
}
