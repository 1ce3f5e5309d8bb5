#include "backend.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char bundle[64 * 1024];
static size_t bundle_length;
static atomic_int requests;

static void answer(int connection) {
  char request[8192];
  size_t length = 0;
  while (length < sizeof request - 1) {
    ssize_t got = read(connection, request + length, sizeof request - 1 - length);
    if (got <= 0) return;
    length += (size_t)got;
    request[length] = 0;
    if (strstr(request, "\r\n\r\n")) break;
  }
  atomic_fetch_add(&requests, 1);
  int kept = strstr(request, "server_name=kept.") != NULL;
  int once = strstr(request, "server_name=once.") != NULL;
  if (kept || once) {
    dprintf(connection, "HTTP/1.1 200 OK\r\nCache-Control: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
            kept ? "s-maxage=60" : "no-store", bundle_length);
    for (size_t sent = 0; sent < bundle_length;) {
      ssize_t wrote = write(connection, bundle + sent, bundle_length - sent);
      if (wrote <= 0) return;
      sent += (size_t)wrote;
    }
  } else if (strstr(request, "server_name=gone.")) {
    dprintf(connection, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  } else {
    dprintf(connection, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  }
}

static void *serve(void *argument) {
  int listener = *(int *)argument;
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) return NULL;
    answer(connection);
    close(connection);
  }
}

int backend_start(const char *bundle_path) {
  static int listener;
  FILE *file = fopen(bundle_path, "rb");
  if (!file) { perror(bundle_path); exit(1); }
  bundle_length = fread(bundle, 1, sizeof bundle, file);
  fclose(file);

  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64) ||
      getsockname(listener, (struct sockaddr *)&address, &size)) {
    perror("backend");
    exit(1);
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, serve, &listener)) exit(1);
  pthread_detach(thread);
  return ntohs(address.sin_port);
}

int backend_requests(void) { return atomic_load(&requests); }
