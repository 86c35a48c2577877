/* assertion.h - the text of a failed assertion, kept for whoever reports it. */
#ifndef ASSERTION_H
#define ASSERTION_H

enum { ASSERTION_TEXT_MAX = 200 };

/* From here on a failed assertion of this process writes its text, one line, to `text` instead of
 * to stderr; it still aborts. NULL: to stderr, as the C library does. */
void assertion_keep(char text[ASSERTION_TEXT_MAX]);

#endif
