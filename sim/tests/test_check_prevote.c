/* test_check_prevote.c - the check of pre-votes (D 9.6; story.h). */
#include <criterion/criterion.h>

#include "story.h"

TestSuite(pre_vote, .init = open_world, .fini = close_world);

static struct promise prevote(node_id candidate, uint64_t term) {
    return (struct promise){.type = PROMISE_PREVOTE, .candidate = candidate, .term = term};
}

/* It asks for pre-votes in its term. */
static void asks(struct world *w, node_id id) {
    puppet(w, id)->view.role = NODE_PRECANDIDATE;
    steps(w, id);
}

static void grants(struct world *w, node_id id, node_id candidate, uint64_t term) {
    promises_prevote(w, id, candidate, term);
    hears(w, id, candidate);
}

/* In its next step. */
static void will_campaign(struct world *w, node_id id, uint64_t term) {
    puppet(w, id)->view.role = NODE_CANDIDATE;
    saves_vote(w, id, term, id);
}

/* A pre-vote of term 1 makes it a candidate of term 2. */
static void campaigns(struct world *w, node_id id, node_id voter) {
    will_campaign(w, id, 2);
    hears_promise(w, id, voter, prevote(id, 1));
}

static void hears_request(struct world *w, node_id id, node_id candidate) {
    struct promise vote = {.type = PROMISE_VOTE, .candidate = candidate, .term = 2};
    hears_promise(w, id, candidate, vote);
}

/* n1 leads term 1 with the log 1/1, which n2 has. n3 is in term 1 and has it, or not. */
static void begin(struct world *w, bool has_entry) {
    share(w, 1);
    follows(w, 3, 1);
    if (has_entry) replicates(w, node_bit(3), 1, 1);
}

/* ---- the asker ---- */

static void tell_campaign(struct world *w, uint32_t variant) {
    begin(w, variant != FORGED);
    if (variant == FORGED_2) follows(w, 2, 2);
    asks(w, 3);
    if (variant != FORGED_3) grants(w, 2, variant == FORGED_4 ? 1 : 3, variant == FORGED_5 ? 0 : 1);
    if (variant != FORGED_6) campaigns(w, 3, 2);
    else will_campaign(w, 3, 2);
    if (variant == FORGED_6) hears(w, 3, 2);
}

/* The only grant is of a voter with a better log or a higher term; or it was never created, for
 * another node, in another term; or what came is a refusal (D 9.6). */
Test(pre_vote, grants) { judge(CHECK_PREVOTE, 3, tell_campaign, FORGED_6); }

/* n3 asks, gets the entry, and asks again. FORGED: the grant is for the first request. */
static void tell_second_request(struct world *w, uint32_t variant) {
    begin(w, false);
    asks(w, 3);
    if (variant == FORGED) grants(w, 2, 3, 1);
    puppet(w, 3)->view.role = NODE_FOLLOWER;
    replicates(w, node_bit(3), 1, 1);
    asks(w, 3);
    if (variant == LEGAL) grants(w, 2, 3, 1);
    campaigns(w, 3, 2);
}

/* The asker's log may have grown since its first request of the term. */
Test(pre_vote, second_request) { judge(CHECK_PREVOTE, 3, tell_second_request, FORGED); }

/* n3 asks in term 1 and in term 2; the grant is for the first request, or comes for it only. */
static void tell_old_term(struct world *w, uint32_t variant) {
    begin(w, true);
    asks(w, 3);
    follows(w, 3, 2);
    asks(w, 3);
    grants(w, 2, 3, variant == FORGED ? 1 : 2);
    will_campaign(w, 3, 3);
    hears_promise(w, 3, 2, prevote(3, variant == FORGED_2 ? 1 : 2));
}

/* A pre-vote of an earlier term does not count. */
Test(pre_vote, old_term) { judge(CHECK_PREVOTE, 3, tell_old_term, FORGED_2); }

static void tell_option(struct world *w, uint32_t variant) {
    if (variant != FORGED_2) begin(w, true);
    w->cluster->config.pre_vote = variant == LEGAL ? 0 : CONFIG_OPTION_ALL;
    will_campaign(w, 3, variant == FORGED_2 ? 1 : 2);
    steps(w, 3);
}

/* A node with the option campaigns without asking; even in the first election. */
Test(pre_vote, option) { judge(CHECK_PREVOTE, 3, tell_option, FORGED_2); }

static void tell_transfer(struct world *w, uint32_t variant) {
    begin(w, true);
    asks(w, 3);
    if (variant == FORGED_2) follows(w, 3, 2);
    if (variant == FORGED_2) asks(w, 3);
    will_campaign(w, 3, variant == FORGED_2 ? 3 : 2);
    hears(w, 3, variant == FORGED ? 2 : 1);
}

/* Only the leader of its term makes a pre-candidate campaign without pre-votes (D 3.10). */
Test(pre_vote, transfer) { judge(CHECK_PREVOTE, 3, tell_transfer, FORGED_2); }

static void tell_joint(struct world *w, uint32_t variant) {
    begin_change(w, joint(nodes(2, 4), three(1, 2, 3)));
    catch_up(w, nodes(2, 3));
    asks(w, 2);
    grants(w, 3, 2, 1);
    grants(w, 4, 2, 1);
    if (variant == LEGAL) hears_promise(w, 2, 4, prevote(2, 1));
    campaigns(w, 2, variant == FORGED_2 ? 4 : 3);
}

/* Both majorities of a joint configuration are needed (D 4.3). */
Test(pre_vote, joint, .init = open_world_with_spares) {
    judge(CHECK_PREVOTE, 3, tell_joint, FORGED_2);
}

/* n3 asks with an entry that a crash takes from it, and asks again. */
static void tell_late_grant(struct world *w, uint32_t variant) {
    begin(w, false);
    saves_entry(w, 3, 1, 1);
    asks(w, 3);
    if (variant == LEGAL) grants(w, 2, 3, 1);
    if (variant == FORGED_2) grants(w, 2, 3, 1);
    if (variant == FORGED_2) hears_promise(w, 3, 2, prevote(3, 1));
    crashes(w, 3, 0);
    restarts(w, 3);
    if (variant == FORGED) follows(w, 3, 2);
    asks(w, 3);
    if (variant == FORGED) grants(w, 2, 3, 2);
    if (variant != FORGED) campaigns(w, 3, variant == FORGED_2 ? 1 : 2);
    if (variant == FORGED) will_campaign(w, 3, 3);
    if (variant == FORGED) hears_promise(w, 3, 2, prevote(3, 2));
    if (variant == LEGAL) hears_request(w, 2, 3);
}

/* A late grant of the same term counts, and binds nobody to vote for the log that is left. In a
 * later term only the log of that term counts; and what a node heard before its crash is gone. */
Test(pre_vote, late_grant) { judge(CHECK_PREVOTE, 3, tell_late_grant, FORGED_2); }

/* ---- the voter ---- */

enum between { NOTHING, A_SYNC, A_PACKET, A_CRASH, A_LATER_CAMPAIGN };

static void answer_request(struct world *w, bool is_granted, enum between between) {
    begin(w, true);
    asks(w, 3);
    if (between == A_SYNC) saves(w, 2);
    grants(w, 2, 3, 1);
    campaigns(w, 3, 2);
    if (between == A_SYNC) syncs(w, 2);
    if (between == A_PACKET) hears(w, 2, 1);
    if (between == A_CRASH) crashes(w, 2, 0);
    if (between == A_CRASH) restarts(w, 2);
    if (between == A_LATER_CAMPAIGN) will_campaign(w, 3, 3);
    if (between == A_LATER_CAMPAIGN) steps(w, 3);
    if (is_granted) saves_vote(w, 2, 2, 3);
    hears_request(w, 2, 3);
}

static void tell_refusal(struct world *w, uint32_t variant) {
    answer_request(w, variant == LEGAL, variant == FORGED_2 ? A_SYNC : NOTHING);
}

/* The vote is refused though nothing has happened since the pre-vote, but for a sync. */
Test(pre_vote, refusal) { judge(CHECK_PREVOTE, 3, tell_refusal, FORGED_2); }

static void tell_change_of_mind(struct world *w, uint32_t variant) {
    answer_request(w, false, (enum between)variant);
}

/* It may be refused when the voter heard of another node, restarted, or the asker went on. */
Test(pre_vote, change_of_mind) {
    for (uint32_t between = A_PACKET; between <= A_LATER_CAMPAIGN; between++)
        silent(3, tell_change_of_mind, between);
}
