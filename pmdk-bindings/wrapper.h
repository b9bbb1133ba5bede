/*
 * What bindgen reads: PMDK's headers, and the macros it cannot evaluate by itself (they contain
 * casts), each turned into a typed constant. build.rs removes the prefix from the names.
 *
 * bindgen has no constants above INT64_MAX; src/inline.rs restates those, and
 * tests/constants.rs compares all of them with C.
 */

/* Declares pmemobj_direct as the function the library exports instead of as an inline one. */
#define PMEMOBJ_DIRECT_NON_INLINE

#include <libpmem.h>
#include <libpmemobj.h>

#define VALUE(type, name) static const type value_of_##name = name

VALUE(unsigned, PMEMOBJ_MAJOR_VERSION);
VALUE(unsigned, PMEMOBJ_MINOR_VERSION);

VALUE(size_t, PMEMOBJ_MIN_POOL);
VALUE(size_t, PMEMOBJ_MIN_PART);
VALUE(size_t, PMEMOBJ_MAX_ALLOC_SIZE);

VALUE(uint64_t, POBJ_XALLOC_ZERO);
VALUE(uint64_t, POBJ_XALLOC_NO_FLUSH);
VALUE(uint64_t, POBJ_XALLOC_NO_ABORT);
VALUE(uint64_t, POBJ_XALLOC_ARENA_MASK);

VALUE(uint64_t, POBJ_XADD_NO_FLUSH);
VALUE(uint64_t, POBJ_XADD_NO_SNAPSHOT);
VALUE(uint64_t, POBJ_XADD_ASSUME_INITIALIZED);
VALUE(uint64_t, POBJ_XADD_NO_ABORT);

VALUE(unsigned, PMEMOBJ_F_MEM_NODRAIN);
VALUE(unsigned, PMEMOBJ_F_MEM_NONTEMPORAL);
VALUE(unsigned, PMEMOBJ_F_MEM_TEMPORAL);
VALUE(unsigned, PMEMOBJ_F_MEM_WC);
VALUE(unsigned, PMEMOBJ_F_MEM_WB);
VALUE(unsigned, PMEMOBJ_F_MEM_NOFLUSH);
VALUE(unsigned, PMEMOBJ_F_RELAXED);
