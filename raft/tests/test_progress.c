/* test_progress.c - how a leader sends to one peer (5.3), against a naive twin: one that remembers
 * every message that was sent, and what became of it. */
#include "progress.h"

#include <criterion/criterion.h>
#include <string.h>

#include "dice.h"
#include "support.h"

static struct raft_progress replicating(raft_index match) {
    struct raft_progress p;
    raft_progress_reset(&p, match + 1);
    raft_progress_sent(&p, 0);
    cr_assert(raft_progress_accepted(&p, match) || match == 0);
    cr_assert_eq(p.flow, RAFT_REPLICATE);
    return p;
}

/* Nothing is known at first: a probe, one message at a time, until it is answered or a heartbeat
 * comes (5.3). */
Test(progress, probe_is_one_message_at_a_time) {
    struct raft_progress p;
    raft_progress_reset(&p, 10);
    cr_assert_eq(p.flow, RAFT_PROBE);
    cr_assert_eq(p.next, 10);
    cr_assert_eq(p.match, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_gt(raft_progress_room(&p, 1), 1000, "as many as there are");
        raft_progress_sent(&p, 5);
        cr_assert_eq(p.next, 10, "a probe is a guess");
        cr_assert_eq(raft_progress_room(&p, 1000), 0);
        raft_progress_heartbeat(&p);
    }
}

/* An accepted probe shows what they share: from there on, without waiting (5.3). If it shows
 * nothing new, the peer may have no room: then the next heartbeat is early enough. */
Test(progress, accepted_probe_starts_replication) {
    struct raft_progress p;
    for (raft_index index = 1; index < 20; index++) {
        raft_progress_reset(&p, 10);
        raft_progress_sent(&p, 5);
        cr_assert(raft_progress_accepted(&p, index));
        cr_assert_eq(p.flow, RAFT_REPLICATE);
        cr_assert_eq(p.match, index);
        cr_assert_eq(p.next, index + 1);
        raft_progress_back_off(&p, 0);
        raft_progress_sent(&p, 1);
        cr_assert_not(raft_progress_accepted(&p, index));
        cr_assert_eq(raft_progress_room(&p, 1), 0);
        raft_progress_heartbeat(&p);
        cr_assert_gt(raft_progress_room(&p, 1), 0);
    }
}

/* A window of entries may be under way; confirmations open it again (D 10.2.1). */
Test(progress, window_limits_what_is_under_way) {
    for (uint32_t window = 1; window < 20; window++) {
        struct raft_progress p = replicating(7);
        for (uint32_t sent = 0; sent < window; sent++) {
            cr_assert_eq(raft_progress_room(&p, window), window - sent);
            raft_progress_sent(&p, 1);
        }
        cr_assert_eq(raft_progress_room(&p, window), 0);
        for (uint32_t confirmed = 1; confirmed <= window; confirmed++) {
            cr_assert(raft_progress_accepted(&p, 7 + confirmed));
            cr_assert_eq(raft_progress_room(&p, window), confirmed);
        }
    }
}

/* Confirmations may be late and doubled: what is known stays (figure 2: matchIndex "increases
 * monotonically"). */
Test(progress, late_confirmations_say_nothing) {
    struct raft_progress p = replicating(7);
    raft_progress_sent(&p, 5);
    cr_assert(raft_progress_accepted(&p, 10));
    for (raft_index index = 0; index <= 10; index++) {
        cr_assert_not(raft_progress_accepted(&p, index));
        cr_assert_eq(p.match, 10);
        cr_assert_eq(p.next, 13);
    }
}

/* A rejection is taken seriously if it answers the probe under way, or what is sent without waiting
 * and not confirmed (5.3). */
Test(progress, late_rejections_are_known) {
    struct raft_progress p;
    raft_progress_reset(&p, 10);
    for (raft_index index = 0; index < 20; index++)
        cr_assert_eq(raft_progress_is_rejected(&p, index), index == 9);
    p = replicating(7);
    raft_progress_sent(&p, 3);
    for (raft_index index = 0; index < 20; index++)
        cr_assert_eq(raft_progress_is_rejected(&p, index), index > 7 && index <= 10);
    raft_progress_install(&p, 8);
    for (raft_index index = 0; index < 20; index++)
        cr_assert_not(raft_progress_is_rejected(&p, index));
}

/* It goes back to the hint, never to what is confirmed already. */
Test(progress, rejection_goes_back_and_probes) {
    for (raft_index hint = 0; hint < 12; hint++) {
        struct raft_progress p = replicating(7);
        raft_progress_sent(&p, 5);
        raft_progress_back_off(&p, hint);
        cr_assert_eq(p.flow, RAFT_PROBE);
        cr_assert_eq(p.next, hint > 7 ? hint + 1 : 8);
        cr_assert_eq(p.match, 7);
        cr_assert_gt(raft_progress_room(&p, 1), 0, "the next probe may go");
    }
}

/* What is under way counts as lost when a whole heartbeat interval confirms nothing; what was sent
 * in the meantime, or confirmed in time, does not. */
Test(progress, silence_of_an_interval_means_loss) {
    struct raft_progress p = replicating(7);
    for (int i = 0; i < 5; i++) raft_progress_heartbeat(&p);
    raft_progress_sent(&p, 5);
    raft_progress_heartbeat(&p);
    cr_assert_eq(p.flow, RAFT_REPLICATE, "just sent, after a long silence");
    for (raft_index index = 8; index < 12; index++) {
        cr_assert(raft_progress_accepted(&p, index));
        raft_progress_heartbeat(&p);
        cr_assert_eq(p.flow, RAFT_REPLICATE);
        cr_assert_eq(p.next, 13);
    }
    raft_progress_heartbeat(&p);
    cr_assert_eq(p.flow, RAFT_PROBE);
    cr_assert_eq(p.next, 12);
}

/* A snapshot goes chunk by chunk: one under way, the next when the peer asks for another offset of
 * the same snapshot, the same again after a heartbeat (7). */
Test(progress, chunks_go_one_by_one) {
    struct raft_progress p = replicating(7);
    raft_progress_install(&p, 20);
    cr_assert_eq(p.flow, RAFT_INSTALL);
    cr_assert_eq(p.next, 21);
    cr_assert_eq(p.match, 7);
    for (uint64_t offset = 0; offset < 100; offset += 10) {
        cr_assert_eq(p.offset, offset);
        cr_assert_not(p.is_paused);
        raft_progress_sent(&p, 0);
        cr_assert(p.is_paused);
        raft_progress_wants(&p, 20, offset);
        raft_progress_wants(&p, 19, offset + 10);
        raft_progress_wants(&p, 21, offset + 10);
        cr_assert(p.is_paused, "a copy, or another snapshot");
        cr_assert_eq(p.offset, offset);
        raft_progress_heartbeat(&p);
        cr_assert_not(p.is_paused);
        raft_progress_sent(&p, 0);
        raft_progress_wants(&p, 20, offset + 10);
    }
    raft_progress_install(&p, 30);
    cr_assert_eq(p.offset, 0, "another snapshot begins anew");
    raft_progress_wants(&p, 30, 50);
    raft_progress_wants(&p, 30, 0);
    cr_assert_eq(p.offset, 0, "a restarted peer has nothing");
}

/* It ends with the whole snapshot, or more; not with a late confirmation of entries (7). */
Test(progress, whole_snapshot_starts_replication) {
    for (raft_index index = 0; index < 30; index++) {
        struct raft_progress p = replicating(7);
        raft_progress_install(&p, 20);
        raft_progress_sent(&p, 0);
        cr_assert_eq(raft_progress_accepted(&p, index), index > 7);
        cr_assert_eq(p.flow, index >= 20 ? RAFT_REPLICATE : RAFT_INSTALL);
        cr_assert_eq(p.match, index > 7 ? index : 7);
        cr_assert_eq(p.next, index >= 20 ? index + 1 : 21);
    }
    struct raft_progress p = replicating(7);
    raft_progress_wants(&p, 0, 50);
    cr_assert_eq(p.flow, RAFT_REPLICATE, "no snapshot is under way");
    cr_assert_eq(p.offset, 0);
}

enum { LAST_MAX = 64, TRAFFIC_MAX = 256 };

/* The twin: a peer with a log that is right up to some entry, the messages to it, and its answers.
 * Both may be lost, doubled and late. */
struct twin {
    raft_index last;      /* Of the leader. */
    raft_index held;      /* The peer has so many of the leader's entries ... */
    raft_index wrong;     /* ... and so many of another leader above them. */
    raft_index confirmed; /* The highest confirmation that has arrived. */
    uint32_t count;       /* Of the messages under way. */
    struct {
        raft_index previous, to;
        bool is_answer, accepted;
    } traffic[TRAFFIC_MAX];
};

static void twin_send(struct twin *t, raft_index previous, raft_index to) {
    if (t->count == TRAFFIC_MAX) return; /* Lost. */
    t->traffic[t->count].previous = previous;
    t->traffic[t->count].to = to;
    t->traffic[t->count].is_answer = false;
    t->count++;
}

/* The leader sends what it may, at most `batch` entries. */
static void leader_send(struct twin *t, struct raft_progress *p, uint32_t batch, uint32_t window) {
    uint32_t room = raft_progress_room(p, window);
    raft_index left = t->last + 1 - p->next;
    uint32_t count = room < batch ? room : batch;
    if (count > left) count = (uint32_t)left;
    if (count == 0) return;
    twin_send(t, p->next - 1, p->next - 1 + count);
    raft_progress_sent(p, count);
}

/* Entries if it may, else a question. */
static void leader_heartbeat(struct twin *t, struct raft_progress *p, uint32_t batch,
                             uint32_t window) {
    uint32_t count = t->count;
    raft_progress_heartbeat(p);
    leader_send(t, p, batch, window);
    if (t->count > count) return;
    raft_index previous = p->flow == RAFT_PROBE ? p->next - 1 : p->match;
    twin_send(t, previous, previous);
    if (p->flow == RAFT_PROBE) raft_progress_sent(p, 0);
}

static void peer_receive(struct twin *t, uint32_t i) {
    bool matches = t->traffic[i].previous <= t->held;
    t->traffic[i].is_answer = true;
    t->traffic[i].accepted = matches;
    if (!matches || t->traffic[i].to <= t->held) return;
    t->held = t->traffic[i].to;
    t->wrong = 0;
}

static void leader_receive(struct twin *t, struct raft_progress *p, uint32_t i) {
    raft_index index = t->traffic[i].accepted ? t->traffic[i].to : t->traffic[i].previous;
    if (t->traffic[i].accepted) {
        if (index > t->confirmed) t->confirmed = index;
        raft_progress_accepted(p, index);
    } else if (raft_progress_is_rejected(p, index)) {
        raft_index hint = t->held + t->wrong < index ? t->held + t->wrong : index - 1;
        raft_progress_back_off(p, hint);
    }
}

static void twin_forget(struct twin *t, uint32_t i) { t->traffic[i] = t->traffic[--t->count]; }

static void twin_deliver(struct twin *t, struct raft_progress *p, uint64_t *dice) {
    uint32_t i = (uint32_t)roll(dice, t->count);
    bool is_copied = roll(dice, 8) == 0;
    if (is_copied && t->count < TRAFFIC_MAX) t->traffic[t->count++] = t->traffic[i];
    if (!t->traffic[i].is_answer) {
        peer_receive(t, i);
        return;
    }
    leader_receive(t, p, i);
    twin_forget(t, i);
}

static void assert_agrees(const struct twin *t, const struct raft_progress *p, uint32_t i) {
    cr_assert_eq(p->match, t->confirmed, "step %u", i);
    cr_assert_leq(p->match, t->held, "step %u", i);
    cr_assert_lt(p->match, p->next, "step %u", i);
    cr_assert_leq(p->next, t->last + 1, "step %u", i);
}

/* Whatever the network does, `match` is the highest confirmation, and true; and when it does
 * nothing more, heartbeats bring everything over (5.3). */
Test(progress, agrees_with_a_twin_that_remembers_everything) {
    uint64_t dice = 3;
    for (uint32_t life = 0; life < 2000; life++) {
        struct twin t = {.last = 1 + roll(&dice, LAST_MAX / 2)};
        uint32_t batch = (uint32_t)(1 + roll(&dice, 8)), window = (uint32_t)(1 + roll(&dice, 20));
        struct raft_progress p;
        t.held = roll(&dice, t.last + 1);
        t.wrong = roll(&dice, 10);
        raft_progress_reset(&p, t.last + 1);
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t face = roll(&dice, 8);
            if (face == 0 && t.last < LAST_MAX) t.last++;
            else if (face == 1) leader_heartbeat(&t, &p, batch, window);
            else if (face == 2 && t.count > 0) twin_forget(&t, (uint32_t)roll(&dice, t.count));
            else if (face >= 5 && t.count > 0) twin_deliver(&t, &p, &dice);
            else leader_send(&t, &p, batch, window);
            assert_agrees(&t, &p, i);
        }
        for (uint32_t i = 0; i < 500 && p.match < t.last; i++) {
            if (t.count == 0) leader_heartbeat(&t, &p, batch, window);
            leader_send(&t, &p, batch, window);
            while (t.count > 0) twin_deliver(&t, &p, &dice);
        }
        cr_assert_eq(p.match, t.last, "life %u", life);
    }
}
