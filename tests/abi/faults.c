/* Faults on purpose, one at a time, which a memory checker has to find: see run.sh. No part of the library.
 * Usage: faults library-reads|host-reads|twice|leak */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/cached_http.h"

/* Bytes that the library has handed out. */
static cached_http_buffer message(void) {
  cached_http_engine engine;
  int32_t descriptor;
  cached_http_buffer message = {0};
  cached_http_engine_open((const uint8_t *)"{}", 2, &engine, &descriptor, &message);
  return message;
}

/* The library reads what the host has freed: found only if the library itself is instrumented. */
static void library_reads(void) {
  cached_http_engine engine;
  int32_t descriptor;
  uint8_t *volatile settings = malloc(64); /* volatile: the compiler would find the fault itself */
  memset(settings, ' ', 64);
  free(settings);
  cached_http_engine_open(settings, 64, &engine, &descriptor, NULL);
}

/* The host reads what it has given back. */
static void host_reads(void) {
  cached_http_buffer buffer = message();
  cached_http_buffer_free(buffer);
  printf("%d\n", buffer.data[0]);
}

static void given_back_twice(void) {
  cached_http_buffer buffer = message();
  cached_http_buffer_free(buffer);
  cached_http_buffer_free(buffer);
}

static void never_given_back(void) {
  cached_http_buffer buffer = message();
  printf("%zu bytes\n", buffer.length);
}

int main(int argc, char **argv) {
  const char *fault = argc == 2 ? argv[1] : "";
  if (!strcmp(fault, "library-reads")) library_reads();
  else if (!strcmp(fault, "host-reads")) host_reads();
  else if (!strcmp(fault, "twice")) given_back_twice();
  else if (!strcmp(fault, "leak")) never_given_back();
  else return 2;
  return 0;
}
