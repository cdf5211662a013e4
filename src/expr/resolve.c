/* Which candidate Postgres chooses (parse_func.c: func_match_argtypes, func_select_candidate). */
#include "expr/tree.h"

/* Keeps the candidates with the highest score; returns how many. */
typedef unsigned (*scorer)(const struct cu_check *check, const uint32_t *inputs, unsigned len,
			   const struct cu_candidate *candidate);

static size_t keep_best(const struct cu_check *check, const uint32_t *inputs, unsigned len,
			struct cu_candidate *candidates, size_t candidates_len, scorer score)
{
	unsigned best = 0;
	size_t kept = 0;

	for (size_t i = 0; i < candidates_len; i++) {
		unsigned s = score(check, inputs, len, &candidates[i]);

		if (i == 0 || s > best) {
			best = s;
			kept = 0;
		}
		if (s == best)
			candidates[kept++] = candidates[i];
	}
	return kept;
}

static unsigned score_exact(const struct cu_check *check, const uint32_t *inputs, unsigned len,
			    const struct cu_candidate *candidate)
{
	unsigned score = 0;

	(void)check;
	for (unsigned i = 0; i < len; i++)
		score += inputs[i] != CU_UNKNOWNOID && inputs[i] == candidate->args[i];
	return score;
}

static unsigned score_preferred(const struct cu_check *check, const uint32_t *inputs, unsigned len,
				const struct cu_candidate *candidate)
{
	unsigned score = 0;

	for (unsigned i = 0; i < len; i++) {
		struct cu_tinfo arg;

		if (inputs[i] == CU_UNKNOWNOID)
			continue;
		arg = cu_type_info(check, candidate->args[i]);
		score += inputs[i] == arg.oid ||
			 (arg.preferred && arg.category == cu_type_info(check, inputs[i]).category);
	}
	return score;
}

/* What unknown literals are taken for: the category that the candidates agree on, strings first. False: no agreement. */
static bool agree_on_category(const struct cu_check *check, const struct cu_candidate *candidates, size_t len,
			      unsigned arg, char *ret_category, bool *ret_preferred)
{
	bool conflict = false;

	*ret_category = 0;
	*ret_preferred = false;
	for (size_t c = 0; c < len; c++) {
		struct cu_tinfo type = cu_type_info(check, candidates[c].args[arg]);

		if (*ret_category == 0) {
			*ret_category = type.category;
			*ret_preferred = type.preferred;
		} else if (type.category == *ret_category) {
			*ret_preferred |= type.preferred;
		} else if (type.category == 'S') {
			*ret_category = 'S';
			*ret_preferred = type.preferred;
		} else {
			conflict = true;
		}
	}
	return !conflict || *ret_category == 'S';
}

static size_t by_category(const struct cu_check *check, const uint32_t *inputs, unsigned len,
			  struct cu_candidate *candidates, size_t candidates_len)
{
	char categories[CU_FUNCTION_ARGS_MAX];
	bool preferred[CU_FUNCTION_ARGS_MAX];
	size_t kept = 0;

	for (unsigned i = 0; i < len; i++) {
		if (inputs[i] == CU_UNKNOWNOID &&
		    !agree_on_category(check, candidates, candidates_len, i, &categories[i], &preferred[i]))
			return candidates_len;
	}
	/* Those that fit move to the front; when none does, the list is as good as it was. */
	for (size_t c = 0; c < candidates_len; c++) {
		struct cu_candidate candidate = candidates[c];
		bool fits = true;

		for (unsigned i = 0; i < len && fits; i++) {
			struct cu_tinfo type = cu_type_info(check, candidate.args[i]);

			fits = inputs[i] != CU_UNKNOWNOID ||
			       (type.category == categories[i] && (!preferred[i] || type.preferred));
		}
		if (fits) {
			candidates[c] = candidates[kept];
			candidates[kept++] = candidate;
		}
	}
	return kept == 0 ? candidates_len : kept;
}

/* Last resort: what is known is all of one type, so the unknown ones might be as well. */
static const struct cu_candidate *all_like_known(const struct cu_check *check, const uint32_t *inputs, unsigned len,
						 const struct cu_candidate *candidates, size_t candidates_len)
{
	const struct cu_candidate *found = NULL;
	uint32_t same[CU_FUNCTION_ARGS_MAX];
	uint32_t known = 0;

	for (unsigned i = 0; i < len; i++) {
		if (inputs[i] == CU_UNKNOWNOID)
			continue;
		if (known != 0 && known != inputs[i])
			return NULL;
		known = inputs[i];
	}
	for (unsigned i = 0; i < len; i++)
		same[i] = known;
	for (size_t c = 0; c < candidates_len; c++) {
		if (!cu_can_coerce(check, len, same, candidates[c].args, CU_COERCE_IMPLICIT))
			continue;
		if (found != NULL)
			return NULL;
		found = &candidates[c];
	}
	return found;
}

const struct cu_candidate *cu_candidate_select(const struct cu_check *check, const uint32_t *inputs, unsigned len,
					       struct cu_candidate *candidates, size_t candidates_len,
					       size_t *ret_matches)
{
	uint32_t bases[CU_FUNCTION_ARGS_MAX];
	unsigned unknowns = 0;
	size_t kept = 0;

	for (size_t c = 0; c < candidates_len; c++) {
		if (cu_can_coerce(check, len, inputs, candidates[c].args, CU_COERCE_IMPLICIT))
			candidates[kept++] = candidates[c];
	}
	*ret_matches = kept;
	if (kept <= 1)
		return kept == 1 ? &candidates[0] : NULL;
	/* From here on domains count as their base types. */
	for (unsigned i = 0; i < len; i++) {
		unknowns += inputs[i] == CU_UNKNOWNOID;
		bases[i] = cu_type_base(check, inputs[i]);
	}
	inputs = bases;
	kept = keep_best(check, inputs, len, candidates, kept, score_exact);
	if (kept == 1)
		return &candidates[0];
	kept = keep_best(check, inputs, len, candidates, kept, score_preferred);
	if (kept == 1)
		return &candidates[0];
	if (unknowns == 0)
		return NULL;
	kept = by_category(check, inputs, len, candidates, kept);
	if (kept == 1)
		return &candidates[0];
	if (unknowns < len)
		return all_like_known(check, inputs, len, candidates, kept);
	return NULL;
}
