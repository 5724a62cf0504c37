/* A boot sector that computes what nobody else knows and says it on COM1.
 *
 * 16-bit code in 32-bit registers (gcc -m16), linked to 0x7c00; keeps nothing that it is given.
 */
__asm__(".globl _start\n"
        "_start:\n"
        "cli\n"
        "xorl %eax, %eax\n"
        "movw %ax, %ds\n"
        "movw %ax, %es\n"
        "movw %ax, %ss\n"
        "movl $0x7000, %esp\n"
        "ljmp $0, $1f\n"
        "1: calll sector\n"
        "2: hlt\n"
        "jmp 2b\n");

static void put(char c) {
  __asm__ volatile("outb %0, %w1" ::"a"(c), "d"(0x3f8));
}

void sector(void) {
  volatile unsigned sum = 0;
  for (unsigned i = 1; i <= 500; i++) sum = sum * 11 + i;
  unsigned value = sum, divisor = 1000000000;
  put('=');
  for (; divisor; divisor /= 10) put((char)('0' + value / divisor % 10));
  put('\n');
}
