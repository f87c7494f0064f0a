/* SPDX-License-Identifier: ISC */
/* See feedback.h. */
#include "qmgr/feedback.h"

#include <errno.h>

/* Decimal text "0.25", because strtod looks at the locale. */
static int parse_amount(struct str text, double *ret)
{
	double value = 0, unit = 1;
	bool behind_point = false, any = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '.' && !behind_point) {
			behind_point = true;
			continue;
		}
		if (!is_digit(text.at[i]))
			return -EINVAL;
		any = true;
		if (behind_point)
			value += (text.at[i] - '0') * (unit /= 10);
		else
			value = value * 10 + (text.at[i] - '0');
	}
	*ret = value;
	return any ? 0 : -EINVAL;
}

int feedback_parse(struct str text, struct feedback *ret, struct buf *why)
{
	struct str rest = text, number;
	bool divided = str_cut(&rest, '/', &number);
	struct feedback f = { .kind = FEEDBACK_FIXED };
	double divisor = 1;

	rest = str_trim(rest);
	if (parse_amount(str_trim(number), &f.amount) < 0)
		goto wrong;
	if (divided && str_is(rest, STR("concurrency")))
		f.kind = FEEDBACK_PER_CONCURRENCY;
	else if (divided && str_is(rest, STR("sqrt_concurrency")))
		f.kind = FEEDBACK_PER_SQRT;
	else if (divided && (parse_amount(rest, &divisor) < 0 || divisor == 0))
		goto wrong;
	f.amount /= divisor;
	if (f.amount > 1)
		goto wrong;
	*ret = f;
	return 0;
wrong:
	buf_addf(why, "\"%.*s\" is not a number from 0 to 1, alone or with /NUMBER, /concurrency or /sqrt_concurrency",
		 PSTR(text));
	return -EINVAL;
}

static double square_root(double x)
{
	double root = x;

	for (int i = 0; i < 20; i++)
		root = (root + x / root) / 2;
	return root;
}

static double feedback_value(const struct feedback *f, int window)
{
	switch (f->kind) {
	case FEEDBACK_PER_CONCURRENCY:
		return f->amount / window;
	case FEEDBACK_PER_SQRT:
		return f->amount / square_root(window);
	case FEEDBACK_FIXED:
		break;
	}
	return f->amount;
}

void window_reset(struct window *w, const struct window_rules *r)
{
	*w = (struct window){ .size = r->limit > 0 ? MIN(r->initial, r->limit) : r->initial };
	w->size = MAX(w->size, 1);
}

/*
 * A window that is not used up does not grow: it may be ahead of what is going on by the initial size only.
 * Half a feedback is forgiven, so that rounding does not cost a step.
 */
void window_success(struct window *w, const struct window_rules *r, int busy)
{
	double amount;

	w->failed_cohorts = 0;
	if (w->size == 0) {
		window_reset(w, r);
		return;
	}
	if ((r->limit > 0 && w->size >= r->limit) || w->size >= busy + r->initial)
		return;
	amount = feedback_value(&r->positive, w->size);
	w->success += amount;
	while (w->success + amount / 2 >= 1) {
		w->size++;
		w->success -= 1;
		w->failure = 0;
	}
	if (r->limit > 0)
		w->size = MIN(w->size, r->limit);
}

bool window_failure(struct window *w, const struct window_rules *r)
{
	double amount;

	if (w->size == 0)
		return false;
	w->failed_cohorts += 1.0 / w->size;
	if (r->cohort_limit > 0 && w->failed_cohorts >= r->cohort_limit - 1e-9) {
		w->size = 0;
		return true;
	}
	amount = feedback_value(&r->negative, w->size);
	w->failure -= amount;
	while (w->failure < -1e-9) {	/* the first failure after success counts at once */
		w->size--;
		w->success = 0;
		w->failure += 1;
	}
	w->size = MAX(w->size, 1);
	return false;
}
