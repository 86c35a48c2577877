/* sometimes.c - the names of what should happen sometimes. */
#include "sometimes.h"

#include <assert.h>

static const char *const names[SOMETIMES_COUNT] = {
    [SOMETIMES_ELECTION] = "election won",
    [SOMETIMES_SPLIT_VOTE] = "split vote",
    [SOMETIMES_DEPOSED] = "leader deposed",
    [SOMETIMES_TWO_LEADERS] = "two leaders at once",
    [SOMETIMES_COMMIT] = "commit advanced",
    [SOMETIMES_OLD_TERM] = "old-term entry committed",
    [SOMETIMES_TRUNCATED] = "conflict truncated",
    [SOMETIMES_SNAPSHOT_TAKEN] = "snapshot taken",
    [SOMETIMES_SNAPSHOT_INSTALLED] = "snapshot installed",
    [SOMETIMES_ACKNOWLEDGED] = "command acknowledged",
    [SOMETIMES_REFUSED] = "command refused",
    [SOMETIMES_UNHEARD] = "command unheard",
    [SOMETIMES_CRASH] = "crash",
    [SOMETIMES_CRASH_BEFORE_SAVE] = "crash before save",
    [SOMETIMES_CRASH_BEFORE_SEND] = "crash between save and send",
    [SOMETIMES_CRASH_MIDST_SEND] = "crash between two sends",
    [SOMETIMES_CRASH_BEFORE_APPLY] = "crash before apply",
    [SOMETIMES_CRASH_BEFORE_ANSWER] = "crash before answer",
    [SOMETIMES_WRITE_LOST] = "write lost in a crash",
    [SOMETIMES_WRITE_KEPT] = "write kept in a crash",
    [SOMETIMES_SYNC_PART] = "sync of a part",
    [SOMETIMES_HELD_LOST] = "held packet lost in a crash",
    [SOMETIMES_PAUSE] = "pause",
    [SOMETIMES_LOSS] = "packet lost",
    [SOMETIMES_DUPLICATE] = "packet duplicated",
    [SOMETIMES_DELAY] = "packet delayed",
    [SOMETIMES_DROP_CUT] = "packet dropped at a cut link",
    [SOMETIMES_DROP_DEAD] = "packet dropped at a dead node",
    [SOMETIMES_HALVES] = "partition: halves",
    [SOMETIMES_MINORITY] = "partition: minority",
    [SOMETIMES_ISOLATE] = "partition: isolate",
    [SOMETIMES_BRIDGE] = "partition: bridge",
    [SOMETIMES_RING] = "partition: ring",
    [SOMETIMES_LINK] = "partition: link",
    [SOMETIMES_MUTE] = "partition: mute",
    [SOMETIMES_ONE_WAY] = "partition: one-way",
    [SOMETIMES_HEAL] = "partition healed",
    [SOMETIMES_CORE_PART] = "calm with a minority cut off",
};

const char *sometimes_name(enum sometimes event) {
    assert(event < SOMETIMES_COUNT);
    return names[event];
}
