/* A kernel for Multiboot 1 and 2 that says on COM1 what it was given, computes what nobody else
 * knows, and switches the machine off.
 *
 * Has no data that is written and no interrupts. Sources: Multiboot 0.6.96, 3.3; Multiboot2 2.0, 3.6.
 */
typedef unsigned char byte;
typedef unsigned int word;

__asm__(".section .multiboot, \"a\"\n"
        ".align 8\n"
        ".long 0xe85250d6, 0, 24, -(0xe85250d6 + 24)\n"
        ".short 0, 0\n"
        ".long 8\n"
        ".align 4\n"
        ".long 0x1badb002, 3, -(0x1badb002 + 3)\n"
        ".text\n"
        ".globl _start\n"
        "_start:\n"
        "mov $stack_end, %esp\n"
        "push %ebx\n"
        "push %eax\n"
        "call kernel\n"
        "1: hlt\n"
        "jmp 1b\n"
        ".bss\n"
        ".align 16\n"
        ".skip 8192\n"
        "stack_end:\n"
        ".text\n");

static void out(word port, byte value) {
  __asm__ volatile("outb %0, %w1" ::"a"(value), "Nd"(port));
}

static byte in(word port) {
  byte value;
  __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port));
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

static void module(word number_of, word from, word to, const char *line) {
  word sum = 0;
  for (word at = from; at < to; at++) sum = sum * 31 + *(volatile byte *)at;
  say("module ");
  number(number_of);
  say(" of ");
  number(to - from);
  say(" hash ");
  number(sum);
  say(" [");
  say(line);
  say("]\n");
}

static void one(const word *info) {
  if (info[0] & 4) {
    say("arguments [");
    say((const char *)info[4]);
    say("]\n");
  }
  const word *modules = (const word *)info[6];
  for (word i = 0; (info[0] & 8) && i < info[5]; i++)
    module(i, modules[4 * i], modules[4 * i + 1], (const char *)modules[4 * i + 2]);
}

static void two(const byte *info) {
  word i = 0;
  const byte *tag = info + 8;
  while (*(const word *)tag) {
    const word *words = (const word *)tag;
    if (words[0] == 1) {
      say("arguments [");
      say((const char *)(tag + 8));
      say("]\n");
    }
    if (words[0] == 3) module(i++, words[2], words[3], (const char *)(tag + 16));
    tag += (words[1] + 7) & ~7u;
  }
}

void kernel(word magic, word info) {
  volatile word sum = 0;
  for (word i = 1; i <= 1000; i++) sum = sum * 7 + i * i;
  say("\nkernel computed ");
  number(sum);
  say("\n");
  if (magic == 0x2badb002) {
    say("by Multiboot 1\n");
    one((const word *)info);
  } else if (magic == 0x36d76289) {
    say("by Multiboot 2\n");
    two((const byte *)info);
  }
  say("over\n");
  /* ACPI: SLP_EN of the PIIX4's power management that SeaBIOS puts at 0x600. */
  __asm__ volatile("outw %w0, %w1" ::"a"(0x2000), "d"(0x604));
}
