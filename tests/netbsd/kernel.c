/* A stand-in for a NetBSD kernel: the table that config(1) makes, in one of its layouts.
 *
 * LAYOUT: 9 (NetBSD 9 and before), 10 (10 and later), 11 (one that does not exist).
 * STARS: whether there are entries with a star; without any, the layouts cannot be told apart.
 * The offsets asserted here are those that src/engine/transform/netbsd/ondisk.rs names. */
#include <stddef.h>

struct cfparent {
	const char *cfp_iattr, *cfp_parent;
	int cfp_unit;
};

struct cfdata {
	const char *cf_name;
	const char *cf_atname;
#if LAYOUT == 9
	short cf_unit;
	short cf_fstate;
#elif LAYOUT == 10
	unsigned int cf_unit : 24;
	unsigned char cf_fstate;
#else
	unsigned char cf_fstate;
	unsigned char cf_more[3];
#define cf_unit cf_more[2]
#endif
	int *cf_loc;
	int cf_flags;
	const struct cfparent *cf_pspec;
};

#ifdef __x86_64__
#define AT(narrow, wide) wide
#else
#define AT(narrow, wide) narrow
#endif

_Static_assert(sizeof(struct cfdata) == AT(24, 48), "size");
_Static_assert(offsetof(struct cfdata, cf_atname) == AT(4, 8), "cf_atname");
#if LAYOUT == 9
_Static_assert(offsetof(struct cfdata, cf_unit) == AT(8, 16), "cf_unit");
_Static_assert(offsetof(struct cfdata, cf_fstate) == AT(10, 18), "cf_fstate");
#elif LAYOUT == 10
_Static_assert(offsetof(struct cfdata, cf_fstate) == AT(11, 19), "cf_fstate");
#endif
_Static_assert(offsetof(struct cfdata, cf_loc) == AT(12, 24), "cf_loc");
_Static_assert(offsetof(struct cfdata, cf_flags) == AT(16, 32), "cf_flags");
_Static_assert(offsetof(struct cfdata, cf_pspec) == AT(20, 40), "cf_pspec");

#define NORM 0
#define STAR (STARS ? 2 : 0)
#define ENTRY(name, at, unit, state, loc, flags, parent)                                           \
	{ .cf_name = name, .cf_atname = at, .cf_unit = unit, .cf_fstate = state, .cf_loc = loc,    \
	  .cf_flags = flags, .cf_pspec = parent }

static int loc[] = {0x3f8, -1, 4};
static int zeros[2];
static const struct cfparent at_mainbus = {"mainbus", "mainbus", -1};
static const struct cfparent at_pci = {"pcibus", 0, 0};

/* Words on both sides of the table that look like states. */
int before[] = {0x00020002, 0x02000200};
struct cfdata cfdata[] = {
	ENTRY("mainbus", "mainbus", 0, NORM, 0, 0, 0),
	ENTRY("cpu", "cpu", 0, STAR, loc, 0, &at_mainbus),
	ENTRY("pci", "pci", 0, STAR, zeros, 2, &at_mainbus),
	ENTRY("com", "com", 0, NORM, loc, 0x00020000, &at_pci),
	ENTRY("com", "com_acpi", 1, STAR, loc, 0, &at_pci),
	ENTRY("com0x", "com0x", 0, STAR, 0, 0, &at_pci),
	ENTRY("wd", "wd", 0, NORM, loc, 0, &at_pci),
	ENTRY("wd", "wd", 1, STAR, loc, 2, &at_pci),
	ENTRY("ld", "ld_virtio", 0, STAR, 0, 0, &at_pci),
	ENTRY("vioif", "vioif", 0, STAR, 0, 0, &at_pci),
	ENTRY("we", "we_isa", 2, NORM, loc, 0, &at_pci),
	ENTRY(0, 0, 0, 0, 0, 0, 0),
};
int after[] = {0x00030002, 0x02000200};

void start(void) {}
