/* fuzz_artefact.c - libFuzzer over the reader of artefacts: it takes any file, or says what is
 * wrong. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "artefact.h"
#include "fuzz.h"

static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    snprintf(path, sizeof path, "/tmp/fuzz_artefact.%ld", (long)getpid());
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert(file != NULL);
    size_t written = fwrite(data, 1, size, file);
    int status = fclose(file);
    assert(written == size && status == 0);
    struct artefact a;
    struct artefact_error error = {{0}};
    if (artefact_load(path, &a, &error)) artefact_free(&a);
    else assert(strncmp(error.text, path, strlen(path)) == 0);
    unlink(path);
    return 0;
}
