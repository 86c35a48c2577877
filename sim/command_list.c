/* command_list.c - raftsim list: the names that other commands take. */
#include <string.h>

#include "commands.h"
#include "nodes.h"

static void list_checks(void) {
    for (int i = 0; i < CHECK_COUNT; i++)
        printf("%-22s %-7s %s\n", check_table[i].name, check_table[i].section,
               check_table[i].holds);
}

static void list_nodes(void) {
    printf("%-14s %s\n", node_raft.name, "the core in raft/");
    printf("%-14s %s\n", node_naive.name, "a second one, simple and slow, that uses the heap");
    for (size_t i = 0; i < mutant_count; i++)
        printf("%-14s %s\n", mutant_table[i].impl->name, mutant_table[i].title);
}

/* With the checks that may find them first. */
static void list_mutants(void) {
    for (size_t i = 0; i < mutant_count; i++)
        printf("%-11s %s - %s\n", mutant_table[i].impl->name, mutant_table[i].checks,
               mutant_table[i].title);
}

static void list_profiles(void) {
    for (int i = 0; i < PROFILE_COUNT; i++)
        printf("%-8s %s\n", profile_table[i].name, profile_table[i].help);
}

static void list_choices(void) {
    for (int i = 0; i < CHOICE_LABEL_COUNT; i++) puts(choice_label_name((enum choice_label)i));
}

static void list_config(void) {
    for (int i = 0; i < CONFIG_FIELD_COUNT; i++)
        printf("%-14s %u..%-12u %s\n", config_fields[i].name, config_fields[i].min,
               config_fields[i].max, config_fields[i].help);
}

static void list_sometimes(void) {
    for (int i = 0; i < SOMETIMES_COUNT; i++) puts(sometimes_name((enum sometimes)i));
}

enum exit_code command_list(const struct options *o) {
    static const struct {
        const char *name;
        void (*list)(void);
    } topics[] = {
        {"checks", list_checks},       {"nodes", list_nodes},     {"mutants", list_mutants},
        {"profiles", list_profiles},   {"choices", list_choices}, {"config", list_config},
        {"sometimes", list_sometimes},
    };
    bool is_found = false;
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        if (o->topic != NULL && strcmp(o->topic, topics[i].name) != 0) continue;
        is_found = true;
        if (o->topic == NULL) printf("%s%s:\n", i > 0 ? "\n" : "", topics[i].name);
        topics[i].list();
    }
    if (is_found) return EXIT_HELD;
    fprintf(stderr, "raftsim: nothing to list as '%s'; see 'raftsim list --help'\n", o->topic);
    return EXIT_USAGE;
}
