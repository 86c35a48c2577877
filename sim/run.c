/* run.c - the loop over the steps of one run. */
#include "run.h"

#include <stdio.h>
#include <string.h>

bool simulator_new(struct simulator *s, const struct node_impl *impl, uint32_t enabled) {
    *s = (struct simulator){.enabled = enabled};
    s->cluster = cluster_new(impl);
    s->checks = checks_new();
    if (s->cluster != NULL && s->checks != NULL) return true;
    simulator_free(s);
    return false;
}

void simulator_free(struct simulator *s) {
    cluster_free(s->cluster);
    checks_free(s->checks);
    *s = (struct simulator){0};
}

static bool has_diverged(const struct choices *choices) { return choices->has_diverged; }

static void note_digest(struct run_watch *w, const struct cluster *c) {
    if (c->events >= RUN_WATCH_MAX || w->has_difference) return;
    if (!w->is_repeat) {
        w->digests[c->events] = c->digest;
    } else if (w->digests[c->events] != c->digest) {
        w->has_difference = true;
        w->step = c->steps;
    }
}

/* One event, watched. False when the run ends with it. */
static bool advance(struct simulator *s, const struct change *change) {
    checks_observe(s->checks, s->cluster, change);
    if (s->watch != NULL) note_digest(s->watch, s->cluster);
    if (s->beat != NULL && s->cluster->events % 1024 == 0)
        atomic_fetch_add_explicit(s->beat, 1, memory_order_relaxed);
    return checks_violation(s->checks) == NULL && checks_undecided(s->checks) == NULL &&
           !has_diverged(s->cluster->choices);
}

static bool run_faults(struct simulator *s, const struct cluster_config *config,
                       struct choices *choices) {
    checks_reset(s->checks, s->enabled, config);
    if (!advance(s, cluster_reset(s->cluster, config, choices))) return false;
    uint64_t events_max = (uint64_t)RUN_FAULT_EVENTS * config->steps;
    while (s->cluster->steps < config->steps && s->cluster->events < events_max)
        if (!advance(s, cluster_step(s->cluster))) return false;
    return true;
}

static void give_up(struct simulator *s) {
    checks_stalled(s->checks, s->cluster);
    if (s->description != NULL) describe_cluster(s->cluster, s->description);
}

static void run_calm(struct simulator *s) {
    struct cluster *c = s->cluster;
    cluster_calm(c);
    uint64_t events_max = c->events + (uint64_t)RUN_CALM_EVENTS * cluster_count(c);
    cluster_attend_goal(c);
    while (c->goal.stage != GOAL_REACHED) {
        bool is_late = c->goal.stage != GOAL_STAY && c->clock_us > c->goal.due_us;
        s->is_storm = c->events > events_max;
        if (s->is_storm || is_late) {
            give_up(s);
            return;
        }
        if (!advance(s, cluster_step(c))) return;
        cluster_attend_goal(c);
    }
    checks_compare(s->checks, c);
}

static void describe_storm(const struct cluster *c, struct violation *violation) {
    snprintf(
        violation->text, sizeof violation->text,
        "a storm of messages: the calm phase has not settled after %u events for each node, at "
        "%llu us",
        (unsigned)RUN_CALM_EVENTS, (unsigned long long)c->clock_us);
}

static void judge(const struct simulator *s, struct run_result *out) {
    const struct violation *violation = checks_violation(s->checks);
    const char *undecided = checks_undecided(s->checks);
    const struct choice_list *record = s->cluster->choices->record;
    if (violation != NULL) {
        out->outcome = violation->check == CHECK_PROGRESS ? RUN_STALLED : RUN_VIOLATED;
        out->violation = *violation;
        if (s->is_storm && violation->check == CHECK_PROGRESS)
            describe_storm(s->cluster, &out->violation);
    } else if (has_diverged(s->cluster->choices)) {
        out->outcome = RUN_DIVERGED;
        snprintf(out->reason, sizeof out->reason, "it asked for another choice than recorded");
    } else if (undecided != NULL) {
        out->outcome = RUN_UNDECIDED;
        snprintf(out->reason, sizeof out->reason, "%s", undecided);
    } else if (record != NULL && record->count > record->capacity) {
        out->outcome = RUN_UNDECIDED;
        snprintf(out->reason, sizeof out->reason, "too many choices to record");
    } else {
        out->outcome = RUN_HELD;
    }
}

void run_execute(struct simulator *s, const struct cluster_config *config, struct choices *choices,
                 struct run_result *out) {
    struct cluster *c = s->cluster;
    *out = (struct run_result){0};
    c->place = s->place;
    if (s->place != NULL) *s->place = (struct cluster_place){0};
    s->is_storm = false;
    if (s->description != NULL) s->description->state[0] = s->description->waits_for[0] = 0;
    if (s->watch != NULL) s->watch->has_difference = false;
    if (run_faults(s, config, choices)) {
        uint64_t calm_from = c->clock_us;
        run_calm(s);
        out->calm_us = c->clock_us - calm_from;
    }
    judge(s, out);
    out->steps = c->steps;
    out->events = c->events;
    out->digest = c->digest;
    memcpy(out->counts, c->counts, sizeof out->counts);
}
