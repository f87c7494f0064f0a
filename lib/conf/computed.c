/* SPDX-License-Identifier: ISC */
/*
 * Defaults that no row can hold: the names of this machine, and what is known only when the program
 * runs. Each is computed when first asked for and then kept like a setting. Computing may ask the
 * system (interfaces, host names), so fill groups before the jail closes.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/conf/computed.h"
#include "lib/conf/conf_private.h"

static struct str machine_name(struct conf *c)
{
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) < 0 || name[0] == '\0')
		return STR("localhost");
	return arena_copy(c->arena, str_of(name));
}

static struct str behind_first_label(struct str name)
{
	struct str rest = name, label;

	return str_cut(&rest, '.', &label) && rest.len > 0 ? rest : STR("localdomain");
}

static struct str compute_myhostname(struct conf *c)
{
	struct str name = machine_name(c);
	const struct setting *domain = conf_setting(c, STR("mydomain"));

	if (str_find(name, '.') >= 0)
		return name;
	if (domain != NULL && domain->source != SET_BY_COMPUTING)
		return arena_fmt(c->arena, "%.*s.%.*s", PSTR(name), PSTR(domain->value));
	return arena_fmt(c->arena, "%.*s.localdomain", PSTR(name));
}

/* myhostname may itself be written with $mydomain: then the machine's own domain ends the circle. */
static struct str compute_mydomain(struct conf *c)
{
	struct str name;
	bool known = false;

	if (!c->computing_domain) {
		c->computing_domain = true;
		known = conf_get(c, c->arena, STR("myhostname"), &name);
		c->computing_domain = false;
	}
	return behind_first_label(known ? name : machine_name(c));
}

bool conf_computed_default(struct conf *c, struct str name, struct str *ret_value)
{
	bool keep = true;

	if (str_is(name, STR("myhostname")))
		*ret_value = compute_myhostname(c);
	else if (str_is(name, STR("mydomain"))) {
		keep = !c->computing_domain;
		*ret_value = compute_mydomain(c);
	} else if (str_is(name, STR("mynetworks")))
		*ret_value = compute_mynetworks(c, c->arena);
	else if (str_is(name, STR("process_name")))
		*ret_value = str_of(program_invocation_short_name);
	else if (str_is(name, STR("process_id")))
		*ret_value = arena_fmt(c->arena, "%d", (int) getpid());
	else if (str_is(name, STR("service_name")))
		*ret_value = STR_NONE;
	else
		return false;
	if (keep)
		conf_put(c, name, *ret_value, SET_BY_COMPUTING, 0);
	return true;
}
