/* Stands in for a NetBSD kernel for i386 in the example mksmolnb: a Multiboot kernel with the table
 * of drivers that config(1) makes for NetBSD 9 and before.
 *
 * Says on COM1 its command line, each driver that is not disabled, a sum over the first kibibyte of
 * the filesystem on the first IDE disk (bytes 1024 to 2047, its superblock), and powers off. Drives
 * no device of the table, uses no interrupts. Sources: Multiboot 0.6.96, 3.1 to 3.3; ATA-4, 8.27 READ
 * SECTOR(S); offsets as asserted in tests/netbsd/kernel.c.
 */
typedef unsigned char byte;
typedef unsigned int word;

struct cfdata {
	const char *cf_name, *cf_atname;
	short cf_unit, cf_fstate;
	int *cf_loc, cf_flags;
	const void *cf_pspec;
};

_Static_assert(sizeof(struct cfdata) == 24, "size");

#define NORM 0
#define STAR 2
#define DRIVER(name, at, state) { name, at, 0, state, 0, 0, &at_mainbus }

static const struct {
	const char *cfp_iattr, *cfp_parent;
	int cfp_unit;
} at_mainbus = {"mainbus", "mainbus", -1};

struct cfdata cfdata[] = {
	{"mainbus", "mainbus", 0, NORM, 0, 0, 0},
	DRIVER("cpu", "cpu", STAR),
	DRIVER("acpicpu", "acpicpu", STAR),
	DRIVER("ioapic", "ioapic", STAR),
	DRIVER("pci", "pci", STAR),
	DRIVER("isa", "isa", NORM),
	DRIVER("pcdisplay", "pcdisplay_isa", NORM),
	DRIVER("wsdisplay", "wsdisplay_emul", STAR),
	DRIVER("com", "com_isa", NORM),
	DRIVER("com", "com_acpi", STAR),
	DRIVER("virtio", "virtio_pci", STAR),
	DRIVER("ld", "ld_virtio", STAR),
	DRIVER("vioif", "vioif", STAR),
	DRIVER("wm", "wm", STAR),
	DRIVER("wd", "wd", STAR),
	DRIVER("fdc", "fdc_isa", NORM),
	DRIVER("uhci", "uhci_pci", STAR),
	DRIVER("audio", "audio", STAR),
	{0, 0, 0, 0, 0, 0, 0},
};

__asm__(".section .multiboot, \"a\"\n"
        ".align 4\n"
        ".long 0x1badb002, 2, -(0x1badb002 + 2)\n"
        ".text\n"
        ".globl _start\n"
        "_start:\n"
        "mov $stack_end, %esp\n"
        "push %ebx\n"
        "call kernel\n"
        "1: cli\n"
        "hlt\n"
        "jmp 1b\n"
        ".bss\n"
        ".align 16\n"
        ".skip 8192\n"
        "stack_end:\n"
        ".text\n");

static void out(word port, byte value) {
	__asm__ volatile("outb %0, %w1" ::"a"(value), "Nd"(port));
}

static void out16(word port, unsigned short value) {
	__asm__ volatile("outw %0, %w1" ::"a"(value), "Nd"(port));
}

static byte in(word port) {
	byte value;
	__asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static unsigned short in16(word port) {
	unsigned short value;
	__asm__ volatile("inw %w1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(char c) {
	while (!(in(0x3fd) & 0x20)) {
	}
	out(0x3f8, (byte)c);
}

static void say(const char *text) {
	while (*text) put(*text++);
}

static void number(word value) {
	char digits[12];
	int at = 11;
	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	say(digits + at);
}

/* A sum over two sectors from sector 2 of the first disk; 0 if there is none or it fails. */
static word superblock(void) {
	word sum = 0;
	if (in(0x1f7) == 0xff) return 0;
	out(0x3f6, 2);
	out(0x1f6, 0xe0);
	for (word i = 0; i < 4; i++) in(0x3f6);
	out(0x1f2, 2);
	out(0x1f3, 2);
	out(0x1f4, 0);
	out(0x1f5, 0);
	out(0x1f7, 0x20);
	for (word sector = 0; sector < 2; sector++) {
		byte status;
		for (word i = 0; i < 4; i++) in(0x3f6);
		do status = in(0x1f7);
		while (status & 0x80);
		if (!(status & 8)) return 0;
		for (word i = 0; i < 256; i++) sum = sum * 31 + in16(0x1f0);
	}
	return sum;
}

void kernel(const word *info) {
	word on = 0, all = 0;
	say("stand-in for NetBSD\n");
	if (info[0] & 4) {
		say("arguments [");
		say((const char *)info[4]);
		say("]\n");
	}
	for (struct cfdata *c = cfdata; *(const char *volatile *)&c->cf_name; c++, all++) {
		short state = *(volatile short *)&c->cf_fstate;
		if (state != NORM && state != STAR) continue;
		on++;
		say(c->cf_name);
		say(" at ");
		say(c->cf_atname);
		say("\n");
	}
	number(on);
	say(" of ");
	number(all);
	say(" drivers\nsuperblock ");
	number(superblock());
	say("\n");
	out16(0x604, 0x2000);
}
