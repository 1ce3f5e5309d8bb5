/* A tiny backend on 127.0.0.1: one thread, one request per connection. It answers by server_name:
 *   kept.*    200 with the bundle and s-maxage=60      once.*  200 with the bundle and no-store
 *   gone.*    204                                       others  500 */
#ifndef BACKEND_H
#define BACKEND_H

/* Starts it; returns the port. Ends with the process. */
int backend_start(const char *bundle_path);
/* Requests answered so far. */
int backend_requests(void);

#endif
