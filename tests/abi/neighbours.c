/* Linked into the client: another Rust library works in the same program, and its panics stay its own, before the walk
 * and after it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int32_t neighbour_catches(int32_t number);

static void check_neighbour(void) {
  if (neighbour_catches(2) != 2 || neighbour_catches(5) != -1) {
    fputs("FAIL the other Rust library\n", stderr);
    _Exit(1);
  }
}

__attribute__((constructor)) static void before(void) { check_neighbour(); }
__attribute__((destructor)) static void after(void) { check_neighbour(); }
