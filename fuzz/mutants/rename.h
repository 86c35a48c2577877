/* rename.h - names of the core with the mutant's id behind, so that all of them fit into one
 * program. A name that is missing here shows as "multiple definition" when the program is linked.
 */
#ifndef RENAME_H
#define RENAME_H

#define MUTANT_PASTE(name, id) name##_##id
#define MUTANT_EXPAND(name, id) MUTANT_PASTE(name, id)
#define MUTANT_NAME(name) MUTANT_EXPAND(name, MUTANT)

#define NODE_RAFT MUTANT_EXPAND(node_mutant, MUTANT)

#define raft_accept MUTANT_NAME(raft_accept)
#define raft_accept_leader MUTANT_NAME(raft_accept_leader)
#define raft_become_follower MUTANT_NAME(raft_become_follower)
#define raft_commit_to MUTANT_NAME(raft_commit_to)
#define raft_election_count MUTANT_NAME(raft_election_count)
#define raft_election_start MUTANT_NAME(raft_election_start)
#define raft_entry_at MUTANT_NAME(raft_entry_at)
#define raft_init MUTANT_NAME(raft_init)
#define raft_log_compact MUTANT_NAME(raft_log_compact)
#define raft_log_full MUTANT_NAME(raft_log_full)
#define raft_log_install MUTANT_NAME(raft_log_install)
#define raft_log_match_hint MUTANT_NAME(raft_log_match_hint)
#define raft_log_matches MUTANT_NAME(raft_log_matches)
#define raft_log_put MUTANT_NAME(raft_log_put)
#define raft_log_saved MUTANT_NAME(raft_log_saved)
#define raft_log_term MUTANT_NAME(raft_log_term)
#define raft_log_write MUTANT_NAME(raft_log_write)
#define raft_receive_append MUTANT_NAME(raft_receive_append)
#define raft_receive_append_reply MUTANT_NAME(raft_receive_append_reply)
#define raft_receive_snapshot MUTANT_NAME(raft_receive_snapshot)
#define raft_receive_vote MUTANT_NAME(raft_receive_vote)
#define raft_receive_vote_reply MUTANT_NAME(raft_receive_vote_reply)
#define raft_replicate_all MUTANT_NAME(raft_replicate_all)
#define raft_replicate_command MUTANT_NAME(raft_replicate_command)
#define raft_replicate_saved MUTANT_NAME(raft_replicate_saved)
#define raft_replicate_start MUTANT_NAME(raft_replicate_start)
#define raft_save_vote MUTANT_NAME(raft_save_vote)
#define raft_send MUTANT_NAME(raft_send)
#define raft_snapshot_send MUTANT_NAME(raft_snapshot_send)
#define raft_snapshot_take MUTANT_NAME(raft_snapshot_take)
#define raft_step MUTANT_NAME(raft_step)
#define raft_write_open MUTANT_NAME(raft_write_open)

#endif
