/* SPDX-License-Identifier: ISC */
/*
 * Reloads: up to four generations of queue managers (manager_for_test.h) at a time work on one queue, of which the
 * newest takes in what the others do not deliver any more, while cleanup brings messages and people give
 * orders. Who goes on is decided anew between any two system calls (tasks_for_test.h). Whatever the order, each
 * recipient gets each message once, and at the end nothing is left of it.
 *
 *   succession_test [SEED [WALKS [LENGTH]]]
 */
#include "tests/unit.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/die.h"
#include "lib/queue/manager_for_test.h"
#include "lib/queue/walks_for_test.h"

enum {
	CLEANUP = 1, PEOPLE = 2, FIRST_MANAGER = 10, MOST_ALIVE = 4, LARGE = 80 << 10, SEGMENT_SIZE = 32 << 10,
	MOST_TEXT = 1 << 20, MOST_STORY = 4 << 20, STORY_SHOWN = 6000,
	PACE = 5,			/* people are slower than machines */
	MOST_ROUNDS = 400000,		/* until all is delivered */
};

struct scene {
	struct world w;
	bool with_deaths, is_over;
	int length, started;
	struct manager *managers[MOST_MANAGERS];
	struct process cleanup, people;
	int64_t now_s;
};

static bool one_in(struct scene *s, uint64_t n)
{
	return roll(&s->w.dice, n) == 0;
}

void tell(struct world *w, const char *format, ...)
{
	va_list arguments;

	if (w->story.len > MOST_STORY / 2)
		buf_cut_front(&w->story, w->story.len / 2);
	va_start(arguments, format);
	buf_addv(&w->story, format, arguments);
	va_end(arguments);
	buf_add_byte(&w->story, '\n');
}

/* ---- cleanup and pickup ---- */

static struct manager *some_manager(struct scene *s)
{
	struct manager *alive[MOST_MANAGERS];
	size_t count = 0;

	for (int i = 0; i < s->started; i++)
		if (!s->managers[i]->has_ended && !s->managers[i]->process.is_dead)
			alive[count++] = s->managers[i];
	return count == 0 ? NULL : alive[roll(&s->w.dice, count)];
}

static int commit(struct queue *q, const struct promise *p, struct queue_place *place)
{
	AUTO(buf) headers = BUF(MOST_TEXT), body = BUF(MOST_TEXT), packed = BUF(MOST_TEXT);
	struct arena *a = arena_new("envelope", NULL, MOST_TEXT);
	struct queue_writer *writer;
	struct envelope e;
	struct queue_parts parts;
	int r;

	promise_headers(p, &headers);
	promise_body(p, &body);
	promise_envelope(p, a, &e);
	envelope_pack(&e, &packed);
	r = queue_create(q, QUEUE_INCOMING, str_of(p->id), &writer);
	if (r == 0)
		r = queue_write_body(writer, buf_str(&body));
	if (r == 0)
		r = queue_commit(writer, &e, buf_str(&packed), buf_str(&headers), &parts, place);
	queue_writer_free(writer);
	arena_free(a);
	return r;
}

/* origin SIZE_MAX: it is new */
static void send(struct scene *s, struct queue *q, unsigned to, size_t origin)
{
	const size_t i = s->w.promises.count;
	struct queue_place place = { 0 };
	struct manager *m;
	size_t len = one_in(s, 30) ? LARGE : roll(&s->w.dice, one_in(s, 2) ? 9000 : 900);
	int r;

	promise_add(&s->w.promises, i, len, to);
	s->w.fortunes[i].origin = origin == SIZE_MAX ? i : origin;
	r = commit(q, &s->w.promises.at[i], one_in(s, 6) ? NULL : &place);
	tell(&s->w, "cleanup: %zu (of %zu) is sent to %x: %d, %s %llu", i, s->w.fortunes[i].origin, to, r,
	     place.segment, (unsigned long long) place.at);
	BUG_UNLESS(r == 0);
	s->w.fortunes[i].is_accepted = true;
	m = some_manager(s);
	if (m != NULL && !one_in(s, 8))
		manager_announce(m, i, &place);
}

static int read_recipients(struct queue *q, struct str id, unsigned *ret)
{
	AUTO(queue_file) f = { .fd = -1 };
	struct arena *a;
	struct envelope e;
	int r = queue_file_open(q, QUEUE_MAILDROP, id, false, true, &f);

	if (r < 0)
		return r;
	a = arena_new("handed in", NULL, MOST_TEXT);
	r = queue_file_envelope(&f, a, &e);
	if (r == 0)
		*ret = bits_of_envelope(&e);
	arena_free(a);
	return r;
}

/* What a death left of a copy. */
static bool is_old(struct queue *q, struct str id)
{
	int64_t written_s;

	return queue_last_written(q, QUEUE_MAILDROP, id, &written_s) == 0 && wall_s() - written_s > DEBRIS_AGE_S;
}

static void pick_up(struct scene *s, struct queue *q)
{
	for (size_t i = 0; i < s->w.promises.count; i++) {
		struct str id = str_of(s->w.promises.at[i].id);
		unsigned to;
		int r = s->w.promises.count == MOST_PROMISES ? -ENOSPC : read_recipients(q, id, &to);

		if (r == -ENODATA && is_old(q, id))
			queue_finish(q, QUEUE_MAILDROP, id);
		if (r < 0)
			continue;
		tell(&s->w, "pickup: %zu was handed in again for %x", i, to);
		send(s, q, to, s->w.fortunes[i].origin);
		queue_finish(q, QUEUE_MAILDROP, id);
	}
}

static struct queue *open_for_cleanup(struct scene *s, int root)
{
	struct queue *q = open_queue_for_test(root);

	BUG_UNLESS(q != NULL);
	if (!s->w.is_calm)
		BUG_UNLESS(queue_append_to_intake(q, root, &(struct intake_limits){ SEGMENT_SIZE,
				MANAGER_SEGMENTS }) == 0);
	return q;
}

static void run_cleanup(void *scene)
{
	struct scene *s = scene;
	int root = calls_mount(s->w.d);
	struct queue *q = open_for_cleanup(s, root);
	bool was_calm = false;

	while (!s->is_over) {
		if (one_in(s, 8) || s->w.is_calm != was_calm) {
			was_calm = s->w.is_calm;
			queue_close(q);		/* its segment has no owner now */
			q = open_for_cleanup(s, root);
		}
		if (!s->w.is_calm && one_in(s, 12) && s->w.promises.count < MOST_PROMISES / 2)
			send(s, q, 1 + (unsigned) roll(&s->w.dice, (1 << MOST_RECIPIENTS) - 1), SIZE_MAX);
		if (one_in(s, 8))
			pick_up(s, q);
		task_sleep();
	}
	queue_close(q);
}

/* ---- people, and master ---- */

static struct manager *newest(struct scene *s)
{
	return s->managers[s->started - 1];
}

static void start_manager(struct scene *s)
{
	s->managers[s->started] = manager_start(&s->w, FIRST_MANAGER + s->started);
	s->started++;
}

static int alive(const struct scene *s)
{
	int count = 0;

	for (int i = 0; i < s->started; i++)
		count += !s->managers[i]->has_ended;
	return count;
}

static void reload(struct scene *s)
{
	if (s->started == MOST_MANAGERS || alive(s) >= MOST_ALIVE
	    || (!newest(s)->is_ready && !one_in(s, 10)))
		return;
	tell(&s->w, "people: reload");
	newest(s)->leaving = true;
	start_manager(s);
}

static void kill_somebody(struct scene *s)
{
	struct manager *m = some_manager(s);

	if (m == NULL || s->started == MOST_MANAGERS)
		return;
	manager_kill(m);
	if (m == newest(s))
		start_manager(s);
}

static void give_order(struct scene *s)
{
	struct manager *m = some_manager(s);

	if (m != NULL && s->w.promises.count > 0)
		manager_order(m, (enum order) roll(&s->w.dice, 3), roll(&s->w.dice, s->w.promises.count));
}

static void let_time_pass(struct scene *s)
{
	s->now_s++;
	clock_set_for_test(s->now_s * 1000000, s->now_s * 1000000);
}

static bool has_files(const struct scene *s, int dir)
{
	const char *name;

	for (size_t i = 0; (name = disk_name_at(s->w.d, dir, i)) != NULL; i++) {
		int node = disk_find(s->w.d, dir, name);

		if (disk_is_directory(s->w.d, node) ? has_files(s, node) : strncmp(name, "free-", 5) != 0)
			return true;
	}
	return false;
}

static void say_files(struct scene *s, int dir, const char *of)
{
	const char *name;

	for (size_t i = 0; (name = disk_name_at(s->w.d, dir, i)) != NULL; i++) {
		int node = disk_find(s->w.d, dir, name);

		if (disk_is_directory(s->w.d, node))
			say_files(s, node, name);
		else if (strncmp(name, "free-", 5) != 0)
			buf_addf(&s->w.why, "%s/%s is left behind; ", of, name);
	}
}

static int directory(const struct scene *s, const char *name)
{
	return disk_find(s->w.d, DISK_ROOT, name);
}

static const char *const places[] = { "incoming", "deferred", "hold", "maildrop", "intake", "corrupt" };

static bool is_all_through(const struct scene *s)
{
	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (has_files(s, directory(s, places[i])))
			return false;
	return true;
}

static void release_all(struct scene *s)
{
	int hold = directory(s, "hold");
	const char *name;

	for (size_t i = 0; (name = disk_name_at(s->w.d, hold, i)) != NULL; i++)
		manager_order(newest(s), ORDER_RELEASE,
			      (size_t) (promise_of(&s->w.promises, str_of(name)) - s->w.promises.at));
}

/* From now on everything goes well: and then nothing may be left. */
static void wait_for_the_end(struct scene *s)
{
	s->w.is_calm = true;
	tell(&s->w, "people: calm");
	for (int i = 0; i < MOST_ROUNDS && s->w.why.len == 0; i++) {
		if (i % 20 == 0 && is_all_through(s))
			return;
		if (i % 50 == 0) {
			let_time_pass(s);
			release_all(s);
		}
		task_sleep();
	}
	if (s->w.why.len == 0)
		for (size_t i = 0; i < COUNT_OF(places); i++)
			say_files(s, directory(s, places[i]), places[i]);
}

static void live(struct scene *s)
{
	for (int i = 0; i < s->length && s->w.why.len == 0; i++) {
		if (one_in(s, 20))
			let_time_pass(s);
		if (one_in(s, 30))
			reload(s);
		if (s->with_deaths && one_in(s, 60))
			kill_somebody(s);
		if (one_in(s, 25))
			give_order(s);
		for (int k = 0; k < PACE; k++)
			task_sleep();
	}
	wait_for_the_end(s);
}

static void run_people(void *scene)
{
	struct scene *s = scene;

	live(s);
	s->is_over = true;
	for (int i = 0; i < s->started; i++) {
		s->managers[i]->leaving = true;
		if (s->w.why.len > 0)
			process_kill(&s->managers[i]->process);
	}
}

/* ---- a walk ---- */

static void begin_scene(struct scene *s, uint64_t seed)
{
	s->w.d = disk_new(DISK_ORDERED);
	s->w.dice = calls_dice = seed;
	s->w.why = BUF(MOST_TEXT);
	s->w.story = BUF(MOST_STORY);
	s->length = length;
	s->now_s = 1700000000;
	let_time_pass(s);
	for (int i = 0; i < QUEUE_COUNT; i++)
		disk_make(s->w.d, DISK_ROOT, queue_name_text((enum queue_name) i), true);
	disk_make(s->w.d, DISK_ROOT, "intake", true);
	disk_make(s->w.d, DISK_ROOT, "pid", true);
	disk_make(s->w.d, DISK_ROOT, "pid/qmgr.lock", false);
}

static void end_scene(struct scene *s)
{
	calls_close_all(s->w.d);
	for (int i = 0; i < s->started; i++)
		manager_free(s->managers[i]);
	disk_free(s->w.d);
	buf_free(&s->w.why);
	buf_free(&s->w.story);
	free(s);
}

static void run_scene(void *scene)
{
	struct scene *s = scene;

	tasks_begin(&s->w.dice, 1 + (unsigned) roll(&s->w.dice, 8));
	process_init(&s->cleanup, CLEANUP);
	process_init(&s->people, PEOPLE);
	task_start(&s->cleanup, run_cleanup, s);
	start_manager(s);
	task_start(&s->people, run_people, s);
	tasks_run();
	loop_stop();
}

/* Every recipient once; whom a death hit perhaps twice, but not never. */
static void compare(struct scene *s)
{
	for (size_t i = 0; i < s->w.promises.count; i++)
		for (unsigned k = 0; k < MOST_RECIPIENTS; k++)
			if (s->w.fortunes[i].origin == i && (s->w.promises.at[i].to & 1u << k) != 0
			    && s->w.fortunes[i].times[k] == 0)
				buf_addf(&s->w.why, "%zu never came to %x; ", i, 1u << k);
}

static void show(const struct scene *s, uint64_t seed)
{
	const size_t shown = is_long ? MOST_STORY : STORY_SHOWN;
	struct str story = buf_str(&s->w.story), line;

	story = str_skip(story, story.len > shown ? story.len - shown : 0);
	while (story.len > 0) {		/* cmocka prints no more than a line */
		str_cut(&story, '\n', &line);
		print_error("%.*s\n", PSTR(line));
	}
	print_error("seed %llu: %.800s\n", (unsigned long long) seed, s->w.why.at);
}

static bool walk(uint64_t seed, bool with_deaths, size_t *deliveries)
{
	struct scene *s = get_memory(sizeof(*s));
	bool is_well;

	begin_scene(s, seed);
	s->with_deaths = with_deaths;
	loop_run(run_scene, s);
	if (s->w.why.len == 0)
		compare(s);
	is_well = s->w.why.len == 0;
	if (!is_well)
		show(s, seed);
	*deliveries += s->w.promises.count;
	end_scene(s);
	return is_well;
}

static void walk_all(bool with_deaths)
{
	size_t messages = 0;
	int failed = 0;

	for (uint64_t seed = first_seed; seed < first_seed + walks && failed < 5; seed++)
		failed += !walk(seed, with_deaths, &messages);
	print_message("%zu messages\n", messages);
	assert_int_equal(failed, 0);
}

static void test_each_message_is_delivered_once_however_often_the_queue_manager_is_reloaded(void **unused)
{
	(void) unused;
	walk_all(false);
}

static void test_a_queue_manager_that_dies_repeats_only_what_it_was_about(void **unused)
{
	(void) unused;
	walk_all(true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_message_is_delivered_once_however_often_the_queue_manager_is_reloaded),
		cmocka_unit_test(test_a_queue_manager_that_dies_repeats_only_what_it_was_about),
	};

	read_walks(argc, argv, 60, 600);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
