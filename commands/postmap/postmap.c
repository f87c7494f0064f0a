/* SPDX-License-Identifier: ISC */
/*
 * postmap and postalias: make, change and query lookup tables.
 *
 *   postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [type:]name ...
 *
 * Installed under both names; as postalias it reads and writes "name: value" as aliases(5) has it.
 */
#include "commands/postmap/postmap.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/die.h"
#include "lib/table/fold.h"
#include "lib/table/type.h"

static const char *config_dir;
static int verbose;

__attribute__((noreturn)) static void usage(const struct job *job)
{
	die(EX_USAGE, "usage: %s [-%s] [-c config_dir] [-d key] [-q key] [type:]name ...",
	    job->aliases ? "postalias" : "postmap", job->aliases ? "finNoprsuvw" : "bfFhimnNoprsuUvw");
}

/* -q and -d: one of them, once. */
static const char *only_key(const struct job *job, const char *key)
{
	if (job->query != NULL || job->remove != NULL)
		die(EX_USAGE, "specify only one of -s or -q or -d, and that once");
	return key;
}

/* What makes no sense together. */
static void check_options(const struct job *job)
{
	const bool of_message = job->headers || job->body;

	if (job->list && (job->query != NULL || job->remove != NULL))
		die(EX_USAGE, "specify only one of -s or -q or -d");
	if ((of_message || job->mime) && (job->query == NULL || strcmp(job->query, "-") != 0))
		die(EX_USAGE, "specify -b -h or -m only with \"-q -\"");
}

static void parse_options(int argc, char **argv, struct job *job, const char **ret_utf8)
{
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, job->aliases ? "c:d:finNopq:rsuvw" : "bc:d:fFhimnNopq:rsuUvw")) != -1) {
		switch (c) {
		case 'b': job->body = true; break;
		case 'c': config_dir = optarg; break;
		case 'd': job->remove = only_key(job, optarg); break;
		case 'f': job->fold = false; break;
		case 'F': job->files = true; break;
		case 'h': job->headers = true; break;
		case 'i': job->incremental = true; break;
		case 'm': job->mime = true; break;
		case 'n': job->with_nul = false; break;
		case 'N': job->with_nul = true; break;
		case 'o': job->stay_root = true; break;
		case 'p': job->default_mode = true; break;
		case 'q': job->query = only_key(job, optarg); break;
		case 'r': job->replace = true; job->ignore_duplicates = false; break;
		case 's': job->list = true; break;
		case 'u': *ret_utf8 = "no"; break;
		case 'U': *ret_utf8 = "yes"; break;
		case 'v': verbose++; break;
		case 'w': job->ignore_duplicates = true; job->replace = false; break;
		default: usage(job);
		}
	}
	check_options(job);
	if (optind == argc)
		usage(job);
}

/*
 * Relative names are made absolute: afterwards the working directory does not matter, where a
 * hostile DB_CONFIG might lie.
 */
static struct str absolute(struct arena *a, struct str name)
{
	AUTO_PTR char *directory = NULL;

	if (name.len > 0 && name.at[0] == '/')
		return name;
	directory = get_current_dir_name();
	if (directory == NULL)
		die(EX_OSERR, "working directory: %s", error_text(errno));
	return arena_fmt(a, "%s/%.*s", directory, PSTR(name));
}

static struct target parse_target(struct arena *a, const char *text, const char *default_type)
{
	struct str name = str_of(text), type_name;
	const struct table_type *type;
	struct target t;

	if (str_find(name, ':') < 0 || name.at[0] == '/')
		type_name = str_of(default_type);
	else
		str_cut(&name, ':', &type_name);
	type = table_type_find(type_name);
	if (type == NULL)
		die(EX_USAGE, "unsupported table type: %s", text);
	if (type->open == NULL && !(type->traits & TYPE_BLOCKS) && name.len > 0 && name.at[0] != '{')
		name = absolute(a, name);
	t.type = str_c(a, type_name);
	t.path = str_c(a, name);
	t.spec = str_c(a, arena_fmt(a, "%s:%s", t.type, t.path));
	t.database = type->suffix != NULL ? str_c(a, arena_fmt(a, "%s%s", t.path, type->suffix)) : NULL;
	return t;
}

bool next_key(struct arena *a, struct str *ret_key)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len = getline(&line, &size, stdin);

	if (len > 0)
		*ret_key = arena_copy(a, str_make(line, (size_t) len - (line[len - 1] == '\n')));
	free(line);
	return len > 0;
}

struct str fold_key(const struct job *job, struct arena *a, struct str key)
{
	AUTO(buf) folded = BUF(2 * key.len + 1);

	if (!job->fold)
		return key;
	key_fold_prepare();
	key_fold(&folded, key);
	return arena_copy(a, buf_str(&folded));
}

/*
 * Berkeley DB would read a DB_CONFIG of the working directory. What the values of -F name still
 * starts there.
 */
static void leave_directory(void)
{
	int directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (directory >= 0)
		files_value_start_in(directory);
	if (chdir("/") < 0)
		die(EX_OSERR, "chdir /: %s", error_text(errno));
}

static void warn(const char *text)
{
	log_warning("%s", text);
}

static bool world_has_utf8(const struct command_world *w, struct arena *a)
{
	struct str enabled;

	return !conf_get(w->conf, a, STR("smtputf8_enable"), &enabled) || !str_is_nocase(enabled, STR("no"));
}

/* Writes one table. True unless a key to be removed is not there. */
static bool change(const struct job *job, const struct target *target)
{
	if (job->remove != NULL)
		return remove_keys(job, target);
	build_table(job, target);
	return true;
}

enum { KEY_NOT_THERE = 2 };		/* exit status of a child, between processes of ours */

/* The tables may have different owners, and who has become one cannot become the next: a process for each. */
static bool change_in_child(const struct job *job, const struct target *target)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die(EX_OSERR, "fork: %s", error_text(errno));
	if (child == 0) {
		status = change(job, target) ? 0 : KEY_NOT_THERE;
		log_flush();
		_exit(status);
	}
	if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		die(EX_SOFTWARE, "%s: the process for it was killed", target->spec);
	if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != KEY_NOT_THERE)
		exit(WEXITSTATUS(status));	/* it has said why */
	return WEXITSTATUS(status) == 0;
}

static bool run(const struct job *job, const struct target *targets, size_t count)
{
	bool found = false;

	if (job->query != NULL)
		return query_tables(job, targets, count);
	for (size_t i = 0; i < count; i++) {
		if (job->list)
			list_table(job, &targets[i]);
		else if (count > 1 && geteuid() == 0 && !job->stay_root)
			found = change_in_child(job, &targets[i]) || found;
		else
			found = change(job, &targets[i]) || found;
	}
	return job->list || found;
}

int main(int argc, char **argv)
{
	const char *program = str_ends(str_of(argv[0]), STR("postalias")) ? "postalias" : "postmap";
	struct table_conf table_settings;
	const struct param_group *const groups[] = { &table_group, NULL };
	void *const structs[] = { &table_settings };
	struct job job = { .aliases = strcmp(program, "postalias") == 0, .fold = true };
	struct arena *a = arena_new("command", NULL, 64 << 20);
	static struct command_world world;	/* lives as long as the process */
	struct target *targets;
	size_t count;
	const char *utf8 = NULL;
	bool found;

	die_always_with(1);
	parse_options(argc, argv, &job, &utf8);
	command_start(program, config_dir, groups, structs, &world);
	log_verbose(verbose);
	if (job.mime && !job.headers && !job.body)
		log_warning("ignoring -m option without -b or -h");
	table_set_warning(warn);
	accounts_for_tables();
	job.cache_bytes = (size_t) table_settings.berkeley_db_create_buffer_size;
	job.utf8 = utf8 != NULL ? strcmp(utf8, "yes") == 0 : world_has_utf8(&world, a);
	count = (size_t) (argc - optind);
	targets = arena_get(a, count * sizeof(*targets));
	for (size_t i = 0; i < count; i++)
		targets[i] = parse_target(a, argv[optind + (int) i], world.common.default_database_type);
	leave_directory();
	found = run(&job, targets, count);
	log_flush();
	if (fflush(stdout) != 0 || ferror(stdout))
		die(EX_IOERR, "write to standard output: %s", error_text(errno));
	arena_free(a);
	return found ? 0 : 1;
}
