/* build_id.h - which build this is. */
#ifndef BUILD_ID_H
#define BUILD_ID_H

#define RAFTSIM_VERSION "0.1.0"

/* A hash of the sources and of what the options change: two builds with the same id give the same
 * digests. Made by the build. */
extern const char build_id[];

#endif
