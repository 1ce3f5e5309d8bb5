/* Linked with the archive as it is shipped, but for a panic that is planted in every export: it has to come out as a
 * status. An archive that has lost what unwinds a panic would end the process, and with it all of Caddy. */
#include <stdio.h>
#include <stdlib.h>

#include "../../include/cached_http.h"

int main(void) {
  cached_http_engine engine;
  int32_t descriptor;
  cached_http_status status;
  setenv("PLANTED_IN_EXPORTS", "panic", 1);
  for (int round = 0; round < 3; round++) {
    status = cached_http_engine_open((const uint8_t *)"{}", 2, &engine, &descriptor, NULL);
    if (status != CACHED_HTTP_STATUS_PANIC) {
      fprintf(stderr, "FAIL a panic came out as %d\n", (int)status);
      return 1;
    }
  }
  puts("ok   a panic is a status");
  return 0;
}
