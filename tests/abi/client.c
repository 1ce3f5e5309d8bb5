/* Walks the whole C ABI the way a careful caller does, and then the way a careless one might.
 * Usage: client BUNDLE.pem WORK_FOLDER   (run.sh makes both and checks the signature with openssl)
 * Prints one line per check and ends with "N passed, N failed". */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../include/cached_http.h"
#include "../../include/cached_http.h" /* twice: it must guard itself */
#include "backend.h"

static int passed, failed;

static void check(int ok, const char *what) {
  printf("%s %s\n", ok ? "ok  " : "FAIL", what);
  if (ok) passed++; else failed++;
}

#define BYTES(text) (const uint8_t *)(text), strlen(text)

/* What the pump has seen, for the one token that is waited for at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static uint64_t told_token;
static cached_http_event last_finished;
static char last_text[512];
static int reject_next, retired, closed;

static void on_candidate(cached_http_engine engine, cached_http_entry_id entry) {
  if (reject_next) {
    cached_http_candidate_reject(engine, entry, BYTES("the host said no"));
    check(cached_http_candidate_confirm(engine, entry) == CACHED_HTTP_STATUS_GONE, "a candidate is decided once");
    return;
  }
  cached_http_key key = 0;
  cached_http_buffer chain = {0};
  check(cached_http_entry_open(engine, entry, &key, &chain) == CACHED_HTTP_STATUS_OK, "a candidate can be opened");
  size_t certificates = 0;
  for (size_t at = 0; at + 4 <= chain.length; certificates++) {
    size_t length = chain.data[at] | chain.data[at + 1] << 8 | chain.data[at + 2] << 16 | (size_t)chain.data[at + 3] << 24;
    check(chain.data[at + 4] == 0x30, "a certificate is a DER sequence");
    at += 4 + length;
    if (at > chain.length) check(0, "frames fit the chain");
  }
  check(certificates >= 1, "the chain has certificates");
  cached_http_buffer_free(chain);
  cached_http_key_close(key);
  check(cached_http_candidate_confirm(engine, entry) == CACHED_HTTP_STATUS_OK, "a candidate is confirmed");
}

static void on_finished(cached_http_event *event) {
  pthread_mutex_lock(&lock);
  last_finished = *event;
  size_t length = event->text.length < sizeof last_text - 1 ? event->text.length : sizeof last_text - 1;
  if (length) memcpy(last_text, event->text.data, length);
  last_text[length] = 0;
  for (size_t i = 0; i < event->tokens.length; i++) told_token = event->tokens.data[i];
  pthread_cond_broadcast(&told);
  pthread_mutex_unlock(&lock);
}

/* Of the one engine that opens: to wait at for events. */
static int32_t descriptor;

static void *pump(void *argument) {
  cached_http_engine engine = *(cached_http_engine *)argument;
  cached_http_event events[8];
  size_t count;
  while (cached_http_next_events(engine, events, 8, &count) == CACHED_HTTP_STATUS_OK) {
    char told_of[64];
    if (count == 0 && read(descriptor, told_of, sizeof told_of) <= 0) break;
    for (size_t i = 0; i < count; i++) {
      if (events[i].kind == CACHED_HTTP_EVENT_CANDIDATE) on_candidate(engine, events[i].entry);
      if (events[i].kind == CACHED_HTTP_EVENT_FINISHED || events[i].kind == CACHED_HTTP_EVENT_ANSWERED) on_finished(&events[i]);
      if (events[i].kind == CACHED_HTTP_EVENT_RETIRED) retired++;
      cached_http_buffer_free(events[i].text);
      cached_http_buffer_free(events[i].server_name);
      cached_http_buffer_free(events[i].value);
      cached_http_tokens_free(events[i].tokens);
    }
  }
  close(descriptor);
  closed = 1;
  return NULL;
}

static cached_http_status look(cached_http_lookup_config config, const char *name, uint64_t token, cached_http_entry_id *entry) {
  return fetch_cached_cert(config, BYTES(name), CACHED_HTTP_HELLO_ECDSA, BYTES("local_ip=127.0.0.1"), token, entry, NULL);
}

static uint64_t last_token = 100;

/* Waits for the event of the last token, if the call was one that has one. */
static cached_http_status wait_for(cached_http_status status, cached_http_entry_id *entry) {
  if (status != CACHED_HTTP_STATUS_PENDING) return status;
  pthread_mutex_lock(&lock);
  while (told_token != last_token) pthread_cond_wait(&told, &lock);
  status = last_finished.status;
  *entry = last_finished.entry;
  pthread_mutex_unlock(&lock);
  return status;
}

/* Looks with a token and waits for its event. */
static cached_http_status ask(cached_http_lookup_config config, const char *name, cached_http_entry_id *entry) {
  return wait_for(look(config, name, ++last_token, entry), entry);
}

static cached_http_status operate(cached_http_lookup_config config, const char *operation) {
  cached_http_entry_id none;
  return wait_for(cached_http_operate(config, BYTES(operation), ++last_token, NULL), &none);
}

static cached_http_status ask_now(cached_http_lookup_config config, const char *name, uint32_t mode) {
  cached_http_entry_id none;
  return wait_for(cached_http_ask(config, BYTES(name), CACHED_HTTP_HELLO_ECDSA, mode, ++last_token, NULL), &none);
}

static void write_file(const char *folder, const char *name, const void *data, size_t length) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, 1, length, file) != length || fclose(file)) { perror(path); exit(1); }
}

static void settings_are_checked(void) {
  cached_http_engine engine = 0;
  cached_http_buffer message = {0};
  check(cached_http_engine_open(NULL, 5, &engine, &descriptor, NULL) == CACHED_HTTP_STATUS_INVALID_ARGUMENT, "NULL with a length is rejected");
  check(cached_http_engine_open(BYTES("{}"), NULL, &descriptor, NULL) == CACHED_HTTP_STATUS_INVALID_ARGUMENT, "a NULL output is rejected");
  check(cached_http_engine_open(BYTES("{\"tll\":1}"), &engine, &descriptor, &message) == CACHED_HTTP_STATUS_SETTINGS_REJECTED && message.length > 0,
        "an unknown setting is rejected with a reason");
  cached_http_buffer_free(message);
  message = (cached_http_buffer){0};
  const char *bad_folder = "{\"backend\":\"http://o\",\"cache_dir\":\"/dev/null\",\"max_memory\":1,\"max_negative_memory\":1,\"max_concurrent_fetches\":1}";
  check(cached_http_engine_open(BYTES(bad_folder), &engine, &descriptor, &message) == CACHED_HTTP_STATUS_DIRECTORY_REJECTED && message.length > 0,
        "a folder that is none is rejected with a reason");
  cached_http_buffer_free(message);
  check(engine == 0 && cached_http_live_handles() == 0, "a rejected engine leaves nothing behind");
}

static void operations(cached_http_lookup_config config) {
  cached_http_entry_id entry = 0;
  cached_http_buffer message = {0};
  check(cached_http_operate(config, BYTES("{\"prune\":{}}"), 1, &message) == CACHED_HTTP_STATUS_INVALID_ARGUMENT && message.length, "an operation that is none is rejected with a reason");
  cached_http_buffer_free(message);
  check(cached_http_operate(config, BYTES("{\"purge_all\":{}}"), 0, NULL) == CACHED_HTTP_STATUS_INVALID_ARGUMENT, "nor is one taken without a token");
  message = (cached_http_buffer){0};
  check(cached_http_check_name(BYTES("no name"), &message) == CACHED_HTTP_STATUS_INVALID_NAME && message.length && cached_http_check_name(BYTES("Any.example."), NULL) == CACHED_HTTP_STATUS_OK, "names are told from what is none");
  cached_http_buffer_free(message);
  check(operate(config, "{\"names\":{\"limit\":9}}") == CACHED_HTTP_STATUS_OK && strstr(last_text, "\"kept.example\""), "names are listed");
  check(operate(config, "{\"inspect\":{\"name\":\"kept.example\"}}") == CACHED_HTTP_STATUS_OK && strstr(last_text, "\"leaf\"") && !strstr(last_text, "PRIVATE"), "one is told of, but not its key");
  check(operate(config, "{\"inspect\":{\"name\":\"other.example\"}}") == CACHED_HTTP_STATUS_MISS, "an unknown one is not");
  check(ask_now(config, "kept.example", CACHED_HTTP_ASK_PREFETCH) == CACHED_HTTP_STATUS_HIT, "what is held is not prefetched");
  check(ask_now(config, "kept.example", 3) == CACHED_HTTP_STATUS_INVALID_ARGUMENT, "there is no third way to ask");
  int before = backend_requests();
  check(ask_now(config, "kept.example", CACHED_HTTP_ASK_REFRESH) == CACHED_HTTP_STATUS_HIT && backend_requests() == before + 1, "but refreshed");
  check(operate(config, "{\"purge\":{\"names\":[\"kept.example\"]}}") == CACHED_HTTP_STATUS_OK && !strcmp(last_text, "{\"purged\":1}"), "and purged");
  check(look(config, "kept.example", 0, &entry) == CACHED_HTTP_STATUS_MISS, "then it is not known");
  check(ask_now(config, "kept.example", CACHED_HTTP_ASK_PREFETCH) == CACHED_HTTP_STATUS_HIT && look(config, "kept.example", 0, &entry) == CACHED_HTTP_STATUS_HIT, "until it is prefetched");
}

static void lookups(cached_http_engine engine, cached_http_lookup_config config, const char *folder) {
  cached_http_entry_id entry = 0, again = 0;
  cached_http_buffer message = {0};
  check(look(config, "kept.example", 0, &entry) == CACHED_HTTP_STATUS_MISS, "without a token a miss only looks");
  check(ask(config, "kept.example", &entry) == CACHED_HTTP_STATUS_HIT && entry != 0, "a miss is fetched and confirmed");
  check(look(config, "KEPT.example", 0, &again) == CACHED_HTTP_STATUS_HIT && again == entry, "the next look is a hit");
  check(backend_requests() == 1, "and cost no request");

  check(ask(config, "gone.example", &again) == CACHED_HTTP_STATUS_NEGATIVE, "a 204 is a negative");
  check(look(config, "gone.example", 0, &again) == CACHED_HTTP_STATUS_NEGATIVE && backend_requests() == 2, "which is kept");
  check(ask(config, "down.example", &again) == CACHED_HTTP_STATUS_FAILED && strstr(last_text, "500"), "an error says why");
  check(look(config, "down.example", 0, &again) == CACHED_HTTP_STATUS_MISS, "and is not kept");
  check(ask(config, "once.example", &again) == CACHED_HTTP_STATUS_HIT, "no-store is served to who waits");
  check(look(config, "once.example", 0, &again) == CACHED_HTTP_STATUS_MISS, "and not kept");
  reject_next = 1;
  check(ask(config, "kept.two.example", &again) == CACHED_HTTP_STATUS_FAILED && strstr(last_text, "the host said no"),
        "what the host rejects fails with its reason");
  reject_next = 0;
  check(fetch_cached_cert(config, BYTES("127.0.0.1"), 0, NULL, 0, 0, &again, &message) == CACHED_HTTP_STATUS_INVALID_NAME && message.length,
        "an address is no server name");
  cached_http_buffer_free(message);
  check(fetch_cached_cert(config, NULL, 0, 0, NULL, 0, 0, &again, NULL) == CACHED_HTTP_STATUS_INVALID_NAME, "nor is none at all");
  check(cached_http_entry_open(engine, 999999, &again, &message) == CACHED_HTTP_STATUS_GONE, "an entry that is not kept is gone");

  cached_http_key key = 0;
  cached_http_buffer chain = {0};
  uint8_t signature[512];
  size_t length = 0;
  const char *text = "signed over the C ABI";
  check(cached_http_entry_open(engine, entry, &key, &chain) == CACHED_HTTP_STATUS_OK, "a kept entry can be opened");
  cached_http_buffer_free(chain);
  check(cached_http_key_sign(key, 0x0403, 0, BYTES(text), signature, sizeof signature, &length) == CACHED_HTTP_STATUS_OK, "its key signs");
  write_file(folder, "message", text, strlen(text));
  write_file(folder, "signature", signature, length);
  check(cached_http_key_sign(key, 0x0804, 0, BYTES(text), signature, sizeof signature, &length) == CACHED_HTTP_STATUS_SIGNING_REJECTED,
        "but not with a scheme of another kind of key");
  check(cached_http_key_sign(key, 0x0403, 0, BYTES(text), signature, 4, &length) == CACHED_HTTP_STATUS_SIGNING_REJECTED,
        "nor into a buffer that is too small");
  check(cached_http_key_sign(key, 0x0403, 1, BYTES("short"), signature, sizeof signature, &length) == CACHED_HTTP_STATUS_SIGNING_REJECTED,
        "nor a digest of the wrong length");

  cached_http_counters counters = {.size = sizeof counters};
  check(cached_http_engine_counters(engine, &counters) == CACHED_HTTP_STATUS_OK && counters.found + counters.invalid_bundles + counters.no_certificate + counters.fetch_errors == 5 && counters.entries == 1,
        "the counters agree");
  counters.size--;
  check(cached_http_engine_counters(engine, &counters) == CACHED_HTTP_STATUS_INVALID_ARGUMENT, "a struct of another version is not written");
  check(cached_http_fetch_time_bounds_ms[0] < cached_http_fetch_time_bounds_ms[CACHED_HTTP_FETCH_TIME_BOUNDS - 1], "the histogram's bounds ascend");

  operations(config);
  check(cached_http_lookup_config_close(config) == CACHED_HTTP_STATUS_OK, "the config closes");
  check(look(config, "kept.example", 0, &again) == CACHED_HTTP_STATUS_CLOSED, "and is closed");
  check(cached_http_engine_close(engine) == CACHED_HTTP_STATUS_OK, "the engine closes");
  check(cached_http_engine_close(engine) == CACHED_HTTP_STATUS_CLOSED, "once");
  check(cached_http_entry_open(engine, entry, &again, &message) == CACHED_HTTP_STATUS_CLOSED, "and gives nothing out any more");
  check(cached_http_key_sign(key, 0x0403, 0, BYTES(text), signature, sizeof signature, &length) == CACHED_HTTP_STATUS_OK,
        "a key still signs: handshakes outlive the engine");
  check(cached_http_key_close(key) == CACHED_HTTP_STATUS_OK && cached_http_key_close(key) == CACHED_HTTP_STATUS_CLOSED, "it closes once");
  check(cached_http_key_sign(key, 0x0403, 0, BYTES(text), signature, sizeof signature, &length) == CACHED_HTTP_STATUS_CLOSED,
        "and signs no more");
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  cached_http_abi_5();
  settings_are_checked();

  char json[512], url[256];
  int port = backend_start(argv[1]);
  snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
  snprintf(json, sizeof json,
           "{\"backend\":\"%s\",\"cache_dir\":\"%s/cache\",\"max_memory\":1000000,\"max_negative_memory\":100000,\"max_concurrent_fetches\":4}", url, argv[2]);
  cached_http_engine engine = 0;
  cached_http_lookup_config config = 0;
  check(cached_http_engine_open(BYTES(json), &engine, &descriptor, NULL) == CACHED_HTTP_STATUS_OK, "an engine opens");
  check(cached_http_engine_resize(engine, BYTES(json), NULL) == CACHED_HTTP_STATUS_OK, "and takes newer limits");
  snprintf(json, sizeof json, "{\"url\":\"%s\",\"default_ttl_ms\":60000,\"negative_ttl_ms\":60000,\"timeout_ms\":5000,\"stale_if_error_ms\":0,\"refresh_ahead\":false}", url);
  check(cached_http_lookup_config_open(engine, BYTES(json), &config, NULL) == CACHED_HTTP_STATUS_OK, "a config opens");

  pthread_t thread;
  if (pthread_create(&thread, NULL, pump, &engine)) return 2;
  lookups(engine, config, argv[2]);
  pthread_join(thread, NULL);
  check(closed && retired == 3, "the pump ends; what was not kept, replaced or purged was retired");
  check(cached_http_live_handles() == 0, "nothing is left open");

  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
