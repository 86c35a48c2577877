/* sometimes.h - what should happen sometimes: a campaign in which nothing happened proves nothing.
 */
#ifndef SOMETIMES_H
#define SOMETIMES_H

enum sometimes {
    SOMETIMES_ELECTION,    /* A node becomes leader. */
    SOMETIMES_SPLIT_VOTE,  /* A candidate times out and tries again. */
    SOMETIMES_DEPOSED,     /* A leader steps down. */
    SOMETIMES_TWO_LEADERS, /* A node becomes leader while an older one still leads. */
    SOMETIMES_COMMIT,      /* A leader advances its commit index. */
    SOMETIMES_OLD_TERM,    /* ... over an entry of an earlier term. */
    SOMETIMES_TRUNCATED,   /* A follower drops entries that conflict. */
    SOMETIMES_SNAPSHOT_TAKEN,
    SOMETIMES_SNAPSHOT_INSTALLED,
    SOMETIMES_ACKNOWLEDGED,
    SOMETIMES_REFUSED,
    SOMETIMES_UNHEARD, /* A client asks a node that is down or paused. */
    SOMETIMES_CRASH,
    SOMETIMES_CRASH_BEFORE_SAVE,
    SOMETIMES_CRASH_BEFORE_SEND, /* After the save, before the first packet. */
    SOMETIMES_CRASH_MIDST_SEND,  /* Between two packets. */
    SOMETIMES_CRASH_BEFORE_APPLY,
    SOMETIMES_CRASH_BEFORE_ANSWER,
    SOMETIMES_WRITE_LOST, /* A crash loses a pending write. */
    SOMETIMES_WRITE_KEPT, /* A crash keeps one. */
    SOMETIMES_SYNC_PART,  /* A sync ends while later writes are still pending. */
    SOMETIMES_HELD_LOST,  /* A packet that waited for the disk dies with its node. */
    SOMETIMES_PAUSE,
    SOMETIMES_LOSS,
    SOMETIMES_DUPLICATE,
    SOMETIMES_DELAY,
    SOMETIMES_DROP_CUT,
    SOMETIMES_DROP_DEAD,
    SOMETIMES_HALVES, /* The shapes of partitions, in the order of enum network_shape. */
    SOMETIMES_MINORITY,
    SOMETIMES_ISOLATE,
    SOMETIMES_BRIDGE,
    SOMETIMES_RING,
    SOMETIMES_LINK,
    SOMETIMES_MUTE,
    SOMETIMES_ONE_WAY,
    SOMETIMES_HEAL,
    SOMETIMES_PREVOTE,     /* A node asks whether it would be elected. */
    SOMETIMES_QUORUM_LOST, /* A leader that hears of no quorum steps down. */
    SOMETIMES_OUTSIDER_CANDIDATE,
    SOMETIMES_TRANSFER,
    SOMETIMES_TRANSFER_DONE, /* The target wins the election that the hand-over began. */
    SOMETIMES_TRANSFER_GIVEN_UP,
    SOMETIMES_CHANGE, /* By a leader. */
    SOMETIMES_CHANGE_JOINT,
    SOMETIMES_JOINT_LEFT,
    SOMETIMES_CHANGE_ROLLED_BACK, /* It is truncated with its entry. */
    SOMETIMES_CHANGE_REFUSED,
    SOMETIMES_LEARNER,
    SOMETIMES_LEADER_REMOVED,
    SOMETIMES_RETIRED, /* In the calm phase. */
    SOMETIMES_CHUNK,   /* Not the first of its snapshot. */
    SOMETIMES_SNAPSHOT_RESUMED,
    SOMETIMES_SESSION_OPENED,
    SOMETIMES_SESSION_EXPIRED,
    SOMETIMES_DUPLICATE_COMMAND,
    SOMETIMES_RETRY, /* A client has waited in vain. */
    SOMETIMES_READ_SERVED,
    SOMETIMES_READ_LEASE,
    SOMETIMES_READ_FOLLOWER,
    SOMETIMES_READ_REFUSED,
    SOMETIMES_HANG,          /* A disk hangs. */
    SOMETIMES_STOPPED,       /* A node stops for good. */
    SOMETIMES_RENEWED,       /* A removed machine comes back under a new id. */
    SOMETIMES_REPLACED,      /* The operator asks to replace a node that is gone. */
    SOMETIMES_MOMENT_OFFICE, /* Faults at critical moments, in the order of enum moment. */
    SOMETIMES_MOMENT_TRANSFER,
    SOMETIMES_MOMENT_CHANGE,
    SOMETIMES_MOMENT_INSTALL,
    SOMETIMES_MOMENT_MINORITY,
    SOMETIMES_MOMENT_SYNCED,
    SOMETIMES_HASTENED,       /* A late packet reaches a new leader. */
    SOMETIMES_CORE_PART,      /* The calm phase leaves nodes outside the core. */
    SOMETIMES_OUTSIDE_LINKED, /* One of them keeps a link to the core. */
    SOMETIMES_OUTSIDE_HUNG,   /* One of them keeps all links, but its disk hangs. */
    SOMETIMES_STAY,           /* A leader stays for as long as it is watched. */
    SOMETIMES_HANDOVER,       /* A leader hands over when nothing hinders. */
    SOMETIMES_COUNT
};

const char *sometimes_name(enum sometimes event);

#endif
