/* SPDX-License-Identifier: ISC */
/*
 * postconf(1): shows and changes the configuration. It reads what is there with as few demands as
 * possible, because it is what one takes to find out what is wrong: values are shown as they are,
 * and odd ones are warned about, after the answer.
 */
#include "commands/postconf/postconf.h"
#include "lib/base/die.h"
#include "lib/base/map.h"
#include "lib/mail/bounce_template.h"
#include "lib/table/type.h"
#include "lib/tls/tls.h"

static void load(struct postconf *p, const struct request *q)
{
	AUTO(buf) why = BUF_WORDS;

	/* The defaults can be had without any file. */
	if (p->defaults ? conf_from_text(q->dir, STR_NONE, &p->conf, &why) < 0 : conf_load(q->dir,
	&p->conf, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	if (conf_from_text(SYSCONFDIR, STR_NONE, &p->empty, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	p->overridden = map_new();
	for (size_t i = 0; i < q->override_count; i++) {
		struct str rest = str_of(q->overrides[i]), name;

		if (conf_override(p->conf, rest, &why) < 0)
			die(POSTCONF_FAILURE, "invalid parameter override: %s: %s", q->overrides[i],
			    buf_text(&why));
		str_cut(&rest, '=', &name);
		map_put(p->overridden, str_trim(name), p);
	}
	p->review = review_open(p->conf);
}

static void say_warning(void *arg, const char *text)
{
	(void) arg;
	warn("%s", text);
}

/* Of the file that is named, or else that main.cf names; "" is what is built in. */
static void show_templates(struct postconf *p, const struct request *q, char **files, int count)
{
	struct bounce_template templates[BOUNCE_KINDS];
	AUTO(buf) out = BUF(POSTCONF_MOST_FILE);
	AUTO(buf) why = BUF_WORDS;
	struct str path = STR_NONE;

	if (count > 1)
		die(POSTCONF_FAILURE, "options -b and -t require at most one template file");
	if (count == 1)
		path = str_of(files[0]);
	else
		conf_get(p->conf, p->arena, STR("bounce_template_file"), &path);
	if (bounce_templates_load(p->arena, str_c(p->arena, path), templates, say_warning, NULL, &why) < 0)
		die(POSTCONF_FAILURE, "%s", buf_text(&why));
	if (q->mode == BOUNCE_TEXT)
		bounce_templates_expand(p->arena, p->conf, str_c(p->arena, path), templates,
					say_warning, NULL);
	for (int k = 0; k < BOUNCE_KINDS; k++) {
		buf_add_text(&out, k > 0 ? "\n" : "");
		if (q->mode == BOUNCE_TEXT)
			buf_addf(&out, "expanded_%s_text = <<EOF\n%.*sEOF\n", bounce_kind_names[k],
				 PSTR(templates[k].text));
		else
			bounce_template_print(&templates[k], k, &out);
	}
	fwrite(out.at, 1, out.len, stdout);
}

static void show_parameters(struct postconf *p, char **names, int count)
{
	answer_begin(p, '{');
	if (count == 0)
		list_parameters(p);
	for (int i = 0; i < count; i++)
		show_parameter(p, str_of(names[i]));
	answer_end(p, '}');
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Those there are modules for; which ones, the configuration says. */
static void list_table_types(struct postconf *p)
{
	const char *names[100];
	struct str modules, meta;
	size_t n = 0;

	if (!conf_get(p->conf, p->arena, STR("shlib_directory"), &modules)
	    || !conf_get(p->conf, p->arena, STR("meta_directory"), &meta))
		die(POSTCONF_FAILURE, "shlib_directory or meta_directory is not valid");
	table_set_module_directories(str_c(p->arena, modules), str_c(p->arena, meta));
	for (size_t i = 0; table_type_at(i) != NULL && n < COUNT_OF(names); i++)
		if (table_type_is_installed(table_type_at(i)))
			names[n++] = table_type_at(i)->name;
	qsort(names, n, sizeof(*names), by_text);
	answer_begin(p, '[');
	for (size_t i = 0; i < n; i++)
		print_item(p, str_of(names[i]));
	answer_end(p, ']');
}

static int answer(struct postconf *p, const struct request *q, char **arguments, int count)
{
	unsigned about = p->quiet ? 0 : REVIEW_UNUSED_IN_MASTER_CF;
	int status = 0;

	switch (q->mode) {
	case ROWS: list_rows(p, arguments, count); break;
	case COLUMNS: list_columns(p, arguments, count); break;
	case TABLE_TYPES: list_table_types(p); break;
	case OVERRIDES: list_overrides(p, arguments, count); break;
	case EXPLANATION: explain_parameters(p, arguments, count); break;
	case BOUNCE_TEXT:
	case BOUNCE_TEMPLATES: show_templates(p, q, arguments, count); return 0;
	case DIFFERENCES: status = list_differences(p, q->other_dir); break;
	default:
		show_parameters(p, arguments, count);
		about |= p->quiet ? 0 : REVIEW_UNUSED_IN_MAIN_CF;
	}
	if (!p->defaults)
		review_tell(p->review, about, say_warning, NULL);
	else if (review_no_services(p->review) != NULL)		/* nor does it matter, but Postfix says so */
		warn("%s", review_no_services(p->review));
	return p->failed ? POSTCONF_FAILURE : status;
}

/* ---- answers that do not depend on the configuration ---- */

static void print_lock_types(struct postconf *p)
{
	print_item(p, STR("flock"));
	print_item(p, STR("fcntl"));
	print_item(p, STR("dotlock"));
}

/* What smtp_sasl_type may be. */
static void print_sasl_server_types(struct postconf *p)
{
#ifdef HAVE_CYRUS_SASL
	print_item(p, STR("cyrus"));
#endif
	print_item(p, STR("dovecot"));
}

static void print_sasl_client_types(struct postconf *p)
{
#ifdef HAVE_GSASL
	print_item(p, STR("cyrus"));
	print_item(p, STR("gsasl"));
#else
	(void) p;
#endif
}

static void print_tls_feature(struct postconf *p, const char *feature)
{
	const char *name;

	if (strcmp(feature, "compile-version") == 0)
		print_item(p, str_of(tls_version_compiled()));
	else if (strcmp(feature, "run-version") == 0)
		print_item(p, str_of(tls_version_running()));
	else if (strcmp(feature, "public-key-algorithms") == 0)
		for (size_t n = 0; (name = tls_public_key_algorithm(n)) != NULL; n++)
			print_item(p, str_of(name));
	else {
		warn("unknown 'postconf -T' mode: %s", feature);
		exit(POSTCONF_FAILURE);
	}
}

static bool answer_fixed(struct postconf *p, const struct request *q)
{
	switch (q->mode) {
	case LOCK_TYPES:
	case SASL_CLIENT_TYPES:
	case SASL_SERVER_TYPES:
		answer_begin(p, '[');
		if (q->mode == LOCK_TYPES)
			print_lock_types(p);
		else if (q->mode == SASL_CLIENT_TYPES)
			print_sasl_client_types(p);
		else
			print_sasl_server_types(p);
		answer_end(p, ']');
		return true;
	case TLS_FEATURE:
		answer_begin(p, '[');
		print_tls_feature(p, q->tls_feature);
		answer_end(p, ']');
		return true;
	case MANUAL: print_manual(); return true;
	default: return false;
	}
}

static void say_fatal(const char *line)
{
	fflush(stdout);
	fprintf(stderr, "postconf: %s\n", line);
}

int main(int argc, char **argv)
{
	static struct postconf p;
	static struct request q;
	int status = 0;

	p.classes = ~0u;
	p.arena = arena_new("postconf", NULL, 1 << 30);
	die_set_sink(say_fatal);
	{
		const int first = take_options(&p, &q, argc, argv);

		argv += first;
		argc -= first;
	}
	if (q.edit != EDIT_NONE && q.mode == MAIN_CF)
		edit_main_cf(&q, argv, argc);
	else if (q.edit != EDIT_NONE)
		edit_master_cf(&q, argv, argc);
	else if (!answer_fixed(&p, &q)) {
		load(&p, &q);
		status = answer(&p, &q, argv, argc);
	}
	return ferror(stdout) || fflush(stdout) != 0 ? POSTCONF_FAILURE : status;
}
