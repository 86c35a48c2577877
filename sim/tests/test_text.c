/* test_text.c - text is never written beyond its memory, and what is quoted is read by a shell as
 * the word that it was. */
#include "text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Goal: whatever the size, the text is the beginning of the whole one, ends with a 0, and nothing
 * behind it is touched. */
Test(text, is_cut_at_its_size) {
    static const char whole[] = "abc 12345 'd e' f_g";
    for (size_t size = 1; size <= sizeof whole + 3; size++) {
        char out[64];
        memset(out, '#', sizeof out);
        struct text t = text_begin(out, size);
        text_add(&t, "abc %d ", 12345);
        text_add_quoted(&t, "d e");
        text_add(&t, " ");
        text_add_file_name(&t, "f:g", 9);
        size_t length = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
        cr_expect_eq(t.is_cut, size < sizeof whole, "size %zu", size);
        cr_expect_eq(strlen(out), length);
        cr_expect_eq(t.length, length);
        cr_expect_eq(strncmp(out, whole, length), 0);
        for (size_t i = size; i < sizeof out; i++) cr_expect_eq(out[i], '#');
    }
}

/* Goal: a shell reads the quoted word as the word. Method: words with
 * all that a shell gives a meaning to, through sh and back. */
Test(text, a_shell_reads_what_was_quoted) {
    static const char *const words[] = {"",     "plain", "a b",   "it's", "''",       "$(exit 7)",
                                        "`id`", "\\",    "a\nb.", "*",    "~",        "-n",
                                        "#",    "x=y;z", "\"",    "!",    "\xff\x80", "a'b'c"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char command[256], back[64] = {0};
        struct text t = text_begin(command, sizeof command);
        text_add(&t, "printf '%%s' ");
        text_add_quoted(&t, words[i]);
        FILE *shell = popen(command, "r");
        cr_assert_not_null(shell);
        size_t count = fread(back, 1, sizeof back - 1, shell);
        cr_expect_eq(pclose(shell), 0);
        cr_expect_eq(count, strlen(words[i]));
        cr_expect_str_eq(back, words[i]);
    }
}

/* Goal: a file name has no separator, hides nothing and is no option. */
Test(text, a_file_name_is_safe) {
    static const char *const cases[][2] = {{"C01", "C01"},     {"../../etc", "_._.._etc"},
                                           {"-rf", "_rf"},     {"a b/c", "a_b_c"},
                                           {"\xc3\xa4", "__"}, {"0123456789", "012345678"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[32];
        struct text t = text_begin(out, sizeof out);
        text_add_file_name(&t, cases[i][0], 9);
        cr_expect_eq(strchr(out, '/'), NULL);
        cr_expect_str_eq(out, cases[i][1]);
    }
}
