/* assertion.c - takes the place of the C library's function behind assert(): a process of a
 * campaign leaves the text in shared memory, so that it is told once, together with its seed. */
#include "assertion.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

static char *kept_text;

void assertion_keep(char text[ASSERTION_TEXT_MAX]) { kept_text = text; }

#ifdef __GLIBC__
#define LINE_TYPE unsigned int
#else
#define LINE_TYPE int
#endif

/* The name that glibc and musl declare in assert.h. */
_Noreturn void __assert_fail(const char *expression, const char *file, LINE_TYPE line,
                             const char *function) {
    char own[ASSERTION_TEXT_MAX];
    struct text t = text_begin(kept_text != NULL ? kept_text : own, ASSERTION_TEXT_MAX);
    text_add(&t, "%s:%u: %s: assertion '%s' failed", file, (unsigned)line,
             function != NULL ? function : "?", expression);
    for (char *c = t.out; *c != 0; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
    if (kept_text == NULL) fprintf(stderr, "%s\n", t.out);
    abort();
}
