/* The first process of a Linux guest: reads a word of the second initial filesystem, computes with it
 * and says so, and its kernel's command line, on the console.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
  char text[4096] = {0};
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, 0);
  int file = open("/word", O_RDONLY);
  if (file < 0 || read(file, text, 16) < 1) return 1;
  unsigned long long word = strtoull(text, 0, 10);
  printf("init computed %llu\n", word * word + 1);
  file = open("/proc/cmdline", O_RDONLY);
  ssize_t len = read(file, text, sizeof text - 1);
  text[len > 0 ? len : 0] = 0;
  printf("%sinit over\n", text);
  fflush(stdout);
  sleep(1);
  reboot(RB_POWER_OFF);
  return 0;
}
