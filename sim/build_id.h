/* build_id.h - which build this is. */
#ifndef BUILD_ID_H
#define BUILD_ID_H

#define RAFTSIM_VERSION "0.1.0"

/* A hash of the sources of raft/ and sim/ and of what the options change: two builds with the same
 * id give the same digests. The build generates it. A mutant's runs depend on its patch, too: see
 * node_build_id in nodes.h. */
extern const char build_id[];

#endif
