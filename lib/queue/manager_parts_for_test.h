/* SPDX-License-Identifier: ISC */
/* What the parts of the model (manager_for_test.h) know of each other: one for each part of qmgr. */
#ifndef ROAD_QUEUE_MANAGER_PARTS_FOR_TEST_H
#define ROAD_QUEUE_MANAGER_PARTS_FOR_TEST_H

#include "lib/queue/manager_for_test.h"

enum { MOST_AT_ONCE = 4, MOST_MEMORY = 1 << 20 };

/* manager_for_test.c */
bool one_in(struct manager *m, uint64_t n);
struct str id_of(const struct manager *m, size_t i);
size_t number_of(const struct manager *m, struct str id);
bool is_dead(const struct manager *m);
#define TELL(m, i, ...) tell_of(m, i, __VA_ARGS__)
__attribute__((format(printf, 3, 4))) void tell_of(const struct manager *m, size_t i, const char *format, ...);
bool is_worked_on(const struct mail *mail);
void forget(struct manager *m, size_t i);
void put_to_sleep(struct manager *m, size_t i, enum queue_name where);
bool is_in_hand(const struct mail *mail);
bool is_known(const struct manager *m, size_t i);
int offload(int (*work)(void *), void *arg);

/* manager_attempt_for_test.c */
void entries_done(struct manager *m, size_t i);
void note_recorded(struct manager *m, size_t i);
int requeue(struct manager *m, size_t i, enum queue_name from);

/* manager_intake_for_test.c */
void activate(struct manager *m, size_t i);
void load_and_activate(struct manager *m, size_t i);
void scan(struct manager *m, enum queue_name where, int64_t older_than_s);
void walk_deferred(void *manager);
void take_announcement(struct manager *m);

/* manager_delivery_for_test.c */
/* One that is_right() says is right; SIZE_MAX: none. */
size_t some_mail(struct manager *m, bool (*is_right)(const struct mail *mail));
bool has_under_way(const struct mail *mail);
void begin_delivery(struct manager *m);
void end_delivery(struct manager *m);
void deliver(struct world *w, size_t i, unsigned bit, int by);
void drop_waiting_entries(struct manager *m, size_t i);
void take_back(struct manager *m);

/* manager_log_for_test.c */
void log_keep(struct manager *m);

/* manager_orders_for_test.c */
void serve_orders(struct manager *m);

#endif
