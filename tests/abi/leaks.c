/* Gets and gives back over and over, and looks at what is left: memory, handles, descriptors and threads.
 * Usage: leaks BUNDLE.pem ROUNDS
 * Prints the figures and ends with "N passed, N failed". Linux only: it reads /proc. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../include/cached_http.h"
#include "backend.h"

#define BYTES(text) (const uint8_t *)(text), strlen(text)
#define OK(call) must((call) == CACHED_HTTP_STATUS_OK, #call)
/* Among the rounds: one fetch that is not stored, one failing call with a message; one engine opened and closed. */
enum { FETCH_EVERY = 1000, FAIL_EVERY = 100, REOPEN_EVERY = 10000, SIGN_EVERY = 100 };
enum { MAX_GROWTH_KIB = 2048, MAX_DIFFERENCE = 2 };

static int passed, failed;

static void check(int ok, const char *what) {
  printf("%s %s\n", ok ? "ok  " : "FAIL", what);
  if (ok) passed++; else failed++;
}

static void must(int ok, const char *what) {
  if (ok) return;
  printf("FAIL %s\n", what);
  exit(1);
}

/* ---- what the process has */

static long resident_kib(void) {
  long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  must(file && fscanf(file, "%ld %ld", &size, &resident) == 2, "/proc/self/statm is readable");
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int entries_of(const char *folder) {
  int count = 0;
  DIR *directory = opendir(folder);
  must(directory != NULL, folder);
  while (readdir(directory)) count++;
  closedir(directory);
  return count - 2;
}

static int descriptors(void) { return entries_of("/proc/self/fd") - 1; }
static int threads(void) { return entries_of("/proc/self/task"); }

/* ---- an engine and its one taker of events, who is this thread */

struct cache {
  cached_http_engine engine;
  cached_http_lookup_config config;
  int32_t descriptor;
};

static struct cache cache_open(int port) {
  char json[512];
  struct cache cache = {0};
  snprintf(json, sizeof json,
           "{\"backend\":\"http://127.0.0.1:%d/\",\"max_memory\":1000000,\"max_negative_memory\":100000,\"max_concurrent_fetches\":4}", port);
  OK(cached_http_engine_open(BYTES(json), &cache.engine, &cache.descriptor, NULL));
  snprintf(json, sizeof json,
           "{\"url\":\"http://127.0.0.1:%d/\",\"default_ttl_ms\":3600000,\"negative_ttl_ms\":60000,\"timeout_ms\":5000,\"stale_if_error_ms\":0,\"refresh_ahead\":false}", port);
  OK(cached_http_lookup_config_open(cache.engine, BYTES(json), &cache.config, NULL));
  return cache;
}

/* Takes events until a fetch has finished (returns its status) or the engine is drained (CLOSED). */
static cached_http_status take_events(struct cache *cache) {
  cached_http_event events[8];
  size_t count;
  for (;;) {
    cached_http_status status = cached_http_next_events(cache->engine, events, 8, &count);
    if (status != CACHED_HTTP_STATUS_OK) return status;
    char news[64];
    if (count == 0) must(read(cache->descriptor, news, sizeof news) > 0, "the descriptor tells of events");
    cached_http_status finished = CACHED_HTTP_STATUS_OK;
    for (size_t i = 0; i < count; i++) {
      if (events[i].kind == CACHED_HTTP_EVENT_CANDIDATE) OK(cached_http_candidate_confirm(cache->engine, events[i].entry));
      if (events[i].kind == CACHED_HTTP_EVENT_FINISHED) finished = events[i].status;
      cached_http_buffer_free(events[i].text);
      cached_http_buffer_free(events[i].server_name);
      cached_http_buffer_free(events[i].value);
      cached_http_tokens_free(events[i].tokens);
    }
    if (finished != CACHED_HTTP_STATUS_OK) return finished;
  }
}

static cached_http_status look(struct cache *cache, const char *name, uint64_t token, cached_http_entry_id *entry) {
  return fetch_cached_cert(cache->config, BYTES(name), CACHED_HTTP_HELLO_ECDSA, NULL, 0, token, entry, NULL);
}

static void fetch(struct cache *cache, const char *name, cached_http_status expected) {
  cached_http_entry_id entry;
  must(look(cache, name, 1, &entry) == CACHED_HTTP_STATUS_PENDING, "a miss is fetched");
  must(take_events(cache) == expected, name);
}

static void cache_close(struct cache *cache) {
  OK(cached_http_lookup_config_close(cache->config));
  OK(cached_http_engine_close(cache->engine));
  must(take_events(cache) == CACHED_HTTP_STATUS_CLOSED, "a closed engine is drained");
  close(cache->descriptor);
}

/* ---- the rounds */

static void get_and_release(struct cache *cache, long round) {
  cached_http_entry_id entry = 0;
  cached_http_key key = 0;
  cached_http_buffer chain = {0};
  must(look(cache, "kept.example", 0, &entry) == CACHED_HTTP_STATUS_HIT, "a hit");
  OK(cached_http_entry_open(cache->engine, entry, &key, &chain));
  if (round % SIGN_EVERY == 0) {
    uint8_t signature[512];
    size_t length = 0;
    OK(cached_http_key_sign(key, 0x0403, 0, BYTES("message"), signature, sizeof signature, &length));
  }
  cached_http_buffer_free(chain);
  OK(cached_http_key_close(key));
}

static void fail(struct cache *cache) {
  cached_http_entry_id entry;
  cached_http_buffer message = {0};
  must(fetch_cached_cert(cache->config, BYTES("127.0.0.1"), 0, NULL, 0, 0, &entry, &message) == CACHED_HTTP_STATUS_INVALID_NAME, "an address is no name");
  cached_http_buffer_free(message);
  message = (cached_http_buffer){0};
  must(cached_http_engine_resize(cache->engine, BYTES("{"), &message) == CACHED_HTTP_STATUS_SETTINGS_REJECTED, "half a document is rejected");
  cached_http_buffer_free(message);
}

static void run(int port, long rounds) {
  struct cache cache = cache_open(port);
  fetch(&cache, "kept.example", CACHED_HTTP_STATUS_HIT);
  for (long round = 1; round <= rounds; round++) {
    get_and_release(&cache, round);
    if (round % FAIL_EVERY == 0) fail(&cache);
    if (round % FETCH_EVERY == 0) fetch(&cache, "once.example", CACHED_HTTP_STATUS_HIT);
    if (round % REOPEN_EVERY == 0) {
      cache_close(&cache);
      cache = cache_open(port);
      fetch(&cache, "kept.example", CACHED_HTTP_STATUS_HIT);
    }
  }
  cache_close(&cache);
}

/* Threads of a closed engine end by themselves. */
static void settle(int wanted) {
  for (int waited_ms = 0; threads() > wanted && waited_ms < 30000; waited_ms += 10) usleep(10000);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long rounds = atol(argv[2]);
  int port = backend_start(argv[1]);
  int threads_before = threads(), descriptors_before = descriptors();
  run(port, 2 * REOPEN_EVERY); /* caches of the libraries fill, and the allocator finds its size */
  settle(threads_before);
  long resident_before = resident_kib();

  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  run(port, rounds);
  clock_gettime(CLOCK_MONOTONIC, &end);
  settle(threads_before);
  long growth = resident_kib() - resident_before;
  int more_threads = threads() - threads_before, more_descriptors = descriptors() - descriptors_before;

  printf("%ld get and release in %ld s: RSS %+ld KiB of %ld, handles %llu, threads %+d, descriptors %+d\n", rounds,
         (long)(end.tv_sec - begin.tv_sec), growth, resident_before, (unsigned long long)cached_http_live_handles(), more_threads, more_descriptors);
  check(growth <= MAX_GROWTH_KIB, "no more than 2 MiB more is resident");
  check(cached_http_live_handles() == 0, "no handle is open");
  check(abs(more_threads) <= MAX_DIFFERENCE, "the threads have ended");
  check(abs(more_descriptors) <= MAX_DIFFERENCE, "the descriptors are closed");
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
